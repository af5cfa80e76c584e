# KACHE_NEED(VARIABLE, MODULE, DEBIAN-PACKAGE): a pkg-config module or a message that says what to install.
AC_DEFUN([KACHE_NEED], [
  PKG_CHECK_MODULES([$1], [$2], [],
    [AC_MSG_ERROR([$2 not found by pkg-config. On Debian: apt-get install $3 (or run ./bootstrap, which installs everything that is missing)])])
])
AC_DEFUN([KACHE_LIBRARIES], [
  KACHE_NEED([SQLITE], [sqlite3 >= 3.34], [libsqlite3-dev])
  KACHE_NEED([ZSTD], [libzstd >= 1.4], [libzstd-dev])
  KACHE_NEED([ARCHIVE], [libarchive >= 3.4], [libarchive-dev])
  KACHE_NEED([JANSSON], [jansson >= 2.12], [libjansson-dev])
  AC_SEARCH_LIBS([dlopen], [dl], [], [AC_MSG_ERROR([no dlopen: backends can't be loaded on this system])])
])
