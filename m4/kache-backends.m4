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
])
