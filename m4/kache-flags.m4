# KACHE_COMPILER_FLAGS: warnings, hardening and sanitizers for every C file of ours.
# Sets KACHE_WARN_CFLAGS, KACHE_HARDEN_CFLAGS, KACHE_HARDEN_LDFLAGS, SANITIZE_FLAGS.
AC_DEFUN([KACHE_COMPILER_FLAGS], [
  AC_ARG_ENABLE([werror],
    [AS_HELP_STRING([--enable-werror], [treat compiler warnings as errors])], [], [enable_werror=no])
  AC_ARG_ENABLE([sanitizers],
    [AS_HELP_STRING([--enable-sanitizers], [build with AddressSanitizer and UndefinedBehaviorSanitizer])],
    [], [enable_sanitizers=no])
  KACHE_WARN_CFLAGS="-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings -Wvla"
  AS_IF([test "x$enable_werror" = xyes], [KACHE_WARN_CFLAGS="$KACHE_WARN_CFLAGS -Werror"])
  KACHE_HARDEN_CFLAGS="-fstack-protector-strong"
  KACHE_HARDEN_LDFLAGS="-Wl,-z,relro -Wl,-z,now"
  SANITIZE_FLAGS=
  AS_IF([test "x$enable_sanitizers" = xyes],
    [SANITIZE_FLAGS="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g"],
    [KACHE_HARDEN_CFLAGS="$KACHE_HARDEN_CFLAGS -D_FORTIFY_SOURCE=2"])
  AC_SUBST([KACHE_WARN_CFLAGS])
  AC_SUBST([KACHE_HARDEN_CFLAGS])
  AC_SUBST([KACHE_HARDEN_LDFLAGS])
  AC_SUBST([SANITIZE_FLAGS])
  AM_CONDITIONAL([SANITIZERS], [test "x$enable_sanitizers" = xyes])
])
