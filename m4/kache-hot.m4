# KACHE_HOT_COMPILER: the compiler of the wrapper, the only program on the hot path.
# A static musl program starts in 60-100 us, a dynamic glibc one in 670-1000 us; code and constants in one segment
# save three page faults more. Order: musl-gcc with -static; plain static; plain dynamic. --with-wrapper-libc=musl|static|dynamic forces one.
# Sets HOT_CC, HOT_CFLAGS, HOT_LDFLAGS.
AC_DEFUN([KACHE_HOT_COMPILER], [
  AC_ARG_WITH([wrapper-libc],
    [AS_HELP_STRING([--with-wrapper-libc=KIND], [musl, static or dynamic (default: the first that works)])],
    [], [with_wrapper_libc=auto])
  AC_ARG_VAR([MUSL_CC], [compiler that targets musl (default: musl-gcc)])
  : "${MUSL_CC:=musl-gcc}"
  AS_CASE([$with_wrapper_libc], [auto|musl|static|dynamic], [],
    [AC_MSG_ERROR([--with-wrapper-libc=$with_wrapper_libc: accepted are musl, static, dynamic])])
  AS_IF([test "x$enable_sanitizers" = xyes && test "$with_wrapper_libc" = auto], [with_wrapper_libc=dynamic])
  kache_hot=
  AS_IF([test "$with_wrapper_libc" = auto || test "$with_wrapper_libc" = musl],
    [AS_IF([test -n "$BLAKE3_SRC"], [
       KACHE_TRY_HOT([$MUSL_CC], [-static -Wl,-z,noseparate-code], [musl])
       AS_IF([test -z "$kache_hot"], [KACHE_TRY_HOT([$MUSL_CC], [-static], [musl])])],
       [AC_MSG_NOTICE([the wrapper can't use musl: it needs the BLAKE3 sources for that])])])
  AS_IF([test -z "$kache_hot" && { test "$with_wrapper_libc" = auto || test "$with_wrapper_libc" = static; }],
    [KACHE_TRY_HOT([$CC], [-static], [static])])
  AS_IF([test -z "$kache_hot" && { test "$with_wrapper_libc" = auto || test "$with_wrapper_libc" = dynamic; }],
    [KACHE_TRY_HOT([$CC], [], [dynamic])])
  AS_IF([test -z "$kache_hot"],
    [AC_MSG_ERROR([the wrapper can't be linked as $with_wrapper_libc (see config.log); for musl: apt-get install musl-tools])])
  AC_SUBST([HOT_CC])
  AC_SUBST([HOT_LDFLAGS])
  AM_CONDITIONAL([HOT_BLAKE3_SYSTEM], [test -z "$BLAKE3_SRC"])
  kache_hot_summary="$kache_hot ($HOT_CC)"
])
# KACHE_TRY_HOT(CC, LDFLAGS, NAME)
AC_DEFUN([KACHE_TRY_HOT], [
  AC_MSG_CHECKING([whether the wrapper can be linked as $3])
  cat > conftest-hot.c <<_KACHE_EOF
#include <stdio.h>
int main(void) { puts("ok"); return 0; }
_KACHE_EOF
  AS_IF([$1 $2 -o conftest-hot conftest-hot.c >&AS_MESSAGE_LOG_FD 2>&1 && test "`./conftest-hot 2>/dev/null`" = ok],
    [AC_MSG_RESULT([yes])
     kache_hot=$3 HOT_CC="$1" HOT_LDFLAGS="$2"],
    [AC_MSG_RESULT([no])])
  rm -f conftest-hot.c conftest-hot
])
