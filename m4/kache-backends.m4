# KACHE_BACKEND(NAME, DESCRIPTION, REQUIREMENT-CHECK): --disable-NAME and a conditional BACKEND_NAME.
AC_DEFUN([KACHE_BACKEND], [
  AC_ARG_ENABLE([$1], [AS_HELP_STRING([--disable-$1], [leave out the $1 backend: $2])], [], [enable_$1=yes])
  AS_IF([test "x$enable_$1" = xyes], [$3
    kache_backends_summary="$kache_backends_summary $1"])
  AM_CONDITIONAL(m4_toupper([BACKEND_$1]), [test "x$enable_$1" = xyes])
])
AC_DEFUN([KACHE_BACKENDS], [
  kache_backends_summary=
  KACHE_BACKEND([fs], [a shared directory], [])
  KACHE_BACKEND([s3], [S3 and what speaks its protocol], [
    KACHE_NEED([CURL], [libcurl >= 7.85], [libcurl4-openssl-dev])
    KACHE_NEED([CRYPTO], [libcrypto >= 1.1.1], [libssl-dev])
    KACHE_NEED([EXPAT], [expat >= 2.2], [libexpat1-dev])])
  KACHE_BACKEND([http], [HTTP and WebDAV servers], [
    KACHE_NEED([CURL], [libcurl >= 7.85], [libcurl4-openssl-dev])
    KACHE_NEED([CRYPTO], [libcrypto >= 1.1.1], [libssl-dev])
    KACHE_NEED([EXPAT], [expat >= 2.2], [libexpat1-dev])])
  KACHE_BACKEND([redis], [Redis and Valkey], [
    KACHE_NEED([HIREDIS], [hiredis >= 0.14], [libhiredis-dev])
    KACHE_NEED([OPENSSL], [openssl >= 1.1.1], [libssl-dev])])
  KACHE_BACKEND([memcached], [memcached], [
    KACHE_NEED([MEMCACHED], [libmemcached >= 1.0.18], [libmemcached-dev])])
  KACHE_BACKEND([crsh], [ccache's storage helpers], [
    KACHE_NEED([CRYPTO], [libcrypto >= 1.1.1], [libssl-dev])])
])
