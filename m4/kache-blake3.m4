# KACHE_BLAKE3: where BLAKE3 comes from.
#   1. --with-blake3-src=DIR          the official C sources in DIR
#   2. pkg-config libblake3           the system's library
#   3. /usr/share/cargo/registry/blake3-*/c, where Debian's librust-blake3-dev puts the official C sources
# The static wrapper needs sources (it is built by another C library's compiler), so 1 or 3 serve it
# even where 2 serves the rest. Sets BLAKE3_SRC, BLAKE3_CFLAGS, BLAKE3_LIBS, BLAKE3_OBJS_* conditionals, and HOT_BLAKE3_CFLAGS and
# HOT_BLAKE3_DEFS where the wrapper can choose what of the processor is used (core/base/hash.c).
AC_DEFUN([KACHE_BLAKE3], [
  AC_ARG_WITH([blake3-src],
    [AS_HELP_STRING([--with-blake3-src=DIR], [compile BLAKE3 from the official C sources in DIR])],
    [], [with_blake3_src=])
  BLAKE3_SRC=
  kache_blake3_lib=no
  AS_IF([test -n "$with_blake3_src"],
    [AS_IF([test -f "$with_blake3_src/blake3.c" && test -f "$with_blake3_src/blake3_impl.h"],
      [BLAKE3_SRC=`cd "$with_blake3_src" && pwd`],
      [AC_MSG_ERROR([--with-blake3-src=$with_blake3_src: no blake3.c and blake3_impl.h there; it wants the folder c/ of the official BLAKE3 sources])])],
    [PKG_CHECK_MODULES([BLAKE3], [libblake3], [kache_blake3_lib=yes], [kache_blake3_lib=no])
     for kache_dir in /usr/share/cargo/registry/blake3-*/c; do
       AS_IF([test -f "$kache_dir/blake3_dispatch.c"], [BLAKE3_SRC=$kache_dir])
     done])
  AS_IF([test "$kache_blake3_lib" = no && test -z "$BLAKE3_SRC"],
    [AC_MSG_ERROR([BLAKE3 not found. One of these helps:
    apt-get install librust-blake3-dev      (the official C sources, Debian 12)
    apt-get install libblake3-dev           (the library, where the distribution has it)
    ./configure --with-blake3-src=DIR       (the folder c/ of the official sources)])])
  AS_CASE([$host_cpu],
    [x86_64], [kache_blake3_asm=x86],
    [aarch64], [kache_blake3_asm=neon],
    [kache_blake3_asm=none])
  AS_IF([test "$kache_blake3_lib" = yes], [kache_blake3_summary="libblake3 (system)"],
    [kache_blake3_summary="$BLAKE3_SRC"
     BLAKE3_CFLAGS="-I$BLAKE3_SRC"
     BLAKE3_LIBS=])
  HOT_BLAKE3_CFLAGS= HOT_BLAKE3_DEFS=
  AS_IF([test "$kache_blake3_asm" = x86 && test -n "$BLAKE3_SRC" &&
         grep -q '!defined(BLAKE3_TESTING)' "$BLAKE3_SRC/blake3_dispatch.c" &&
         grep -q 'g_cpu_features = UNDEFINED;' "$BLAKE3_SRC/blake3_dispatch.c"],
    [HOT_BLAKE3_CFLAGS=-DBLAKE3_TESTING HOT_BLAKE3_DEFS=-DKACHE_BLAKE3_CHOICE])
  AC_SUBST([HOT_BLAKE3_CFLAGS])
  AC_SUBST([HOT_BLAKE3_DEFS])
  AC_SUBST([BLAKE3_SRC])
  AC_SUBST([BLAKE3_CFLAGS])
  AC_SUBST([BLAKE3_LIBS])
  AM_CONDITIONAL([BLAKE3_SYSTEM], [test "$kache_blake3_lib" = yes])
  AM_CONDITIONAL([BLAKE3_X86], [test "$kache_blake3_asm" = x86])
  AM_CONDITIONAL([BLAKE3_NEON], [test "$kache_blake3_asm" = neon])
])
