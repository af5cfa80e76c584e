# KACHE_OBSERVER: whether kache-observe.so is built. It interposes functions of the GNU C library under
# Linux, with 64-bit pointers; elsewhere kache does without.
AC_DEFUN([KACHE_OBSERVER], [
  AC_MSG_CHECKING([whether compilers can be observed])
  AC_PREPROC_IFELSE([AC_LANG_SOURCE([[
#include <features.h>
#if !defined __linux__ || !defined __GLIBC__ || !defined __LP64__
#error no
#endif
    ]])], [kache_observer=yes], [kache_observer=no])
  AC_MSG_RESULT([$kache_observer])
  AM_CONDITIONAL([OBSERVER], [test $kache_observer = yes])
])
