#!/bin/sh
# CUDA: nvcc compiles for a GPU that need not be there. tests/lib/get-cuda puts one where this test finds it.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cc.sh"

cuda=${KACHE_TEST_TOOLS:-${HOME:-/root}/.cache/kache-test-tools}/cuda
if test -x "$cuda/bin/nvcc"; then nvcc=$cuda/bin/nvcc; else nvcc=$(command -v nvcc); fi
test -n "$nvcc" || skip_all "nvcc is not there (tests/lib/get-cuda fetches it)"
unset NVCC_PREPEND_FLAGS NVCC_APPEND_FLAGS NVCC_CCBIN TMP TEMP
export TMPDIR="$T/tmp" KACHE_CACHE_DIR="$T/cache"
mkdir "$TMPDIR"
arch="-arch=sm_80"

cu_begin() {
	cc_name=$1
	W=$T/t.$1
	mkdir -p "$W"
	cd "$W" || exit 99
	printf '#include "h.h"\n__global__ void k(int *p) { *p = H; }\nint host(void) { return H; }\n' > x.cu
	echo '#define H 1' > h.h
}

# Its temporary files have names of the day, which objects, lists and messages hold.
cu_plain() {
	find "$1" -type f | while read -r cu_file; do
		LC_ALL=C sed -i 's/tmpxft_[0-9a-f]*_[0-9a-f]*-[0-9]*_/tmpxft_/g' "$cu_file"
	done
}

# As cc_is; but a compile takes a second, so what missed is not compared: the compiler itself made it.
cu_is() { # EXPECT TEXT ARGUMENT…
	cc_expect=$1 cc_text=$2 cc_bad=
	shift 2
	find . -type f -o -type l | sort > "$T/before"
	events > "$T/ignored"
	${cc_kache:-$KACHE $nvcc} "$@" > "$T/out.kache" 2> "$T/err.kache"
	cc_got=$?
	cc_take kache
	ev=$(events)
	case $ev in "${cc_expect%% *} "*) ;; *) cc_bad="not-$cc_expect" ;; esac
	case $cc_expect in *' '*) case $ev in *" ${cc_expect#* } "*) ;; *) cc_bad="not-$cc_expect" ;; esac ;; esac
	case $cc_expect in
	miss) test $cc_got = 0 || cc_bad="$cc_bad status $cc_got" ;;
	uncached*) ;;
	*)
		${cc_plain:-$nvcc} "$@" > "$T/out.plain" 2> "$T/err.plain"
		cc_status=$?
		cc_take plain
		test $cc_status = $cc_got || cc_bad="$cc_bad status $cc_got instead of $cc_status"
		mkdir -p "$T/made.plain/messages" "$T/made.kache/messages"
		cp "$T/out.plain" "$T/err.plain" "$T/made.plain/messages"
		cp "$T/out.kache" "$T/made.kache/messages/out.plain"
		cp "$T/err.kache" "$T/made.kache/messages/err.plain"
		cu_plain "$T/made.plain"
		cu_plain "$T/made.kache"
		diff -r "$T/made.plain" "$T/made.kache" > "$T/diff" 2>&1 || cc_bad="$cc_bad files"
		test "$(find "$T/made.plain" -type f | wc -l)" -gt 2 || test "$cc_expect" != hit || cc_bad="$cc_bad nothing-made" ;;
	esac
	ok "$(test -z "$cc_bad"; echo $?)" "nvcc $cc_name: $cc_text"
	test -n "$cc_bad" || return 0
	echo "# wrong: $cc_bad"
	echo "# call:  $*"
	printf '%s\n' "$ev" | sed 's/^/# event: /'
	head -n 6 "$T/err.kache" | sed 's/^/# stderr: /'
	head -n 6 "$T/diff" | sed 's/^/# files: /'
}

modes() {
	cu_begin modes
	cu_is miss "-c" $arch -c x.cu
	cu_is miss "-dc after it" $arch -dc x.cu
	cu_is hit "-c again" $arch -c x.cu -o y.o
	cu_is hit "-dc again" $arch -dc x.cu
	for mode in ptx cubin fatbin; do
		cu_is miss "-$mode" $arch -$mode x.cu
		cu_is hit "-$mode, again, elsewhere" $arch -$mode x.cu -o y.$mode
	done
	mkdir links
	ln -s "$KACHE" links/nvcc
	cc_kache="env PATH=$W/links:$(dirname "$nvcc"):$PATH nvcc"
	cu_is hit "a link along PATH" $arch -ptx x.cu
	cc_kache=
	like "$(env 'BASH_FUNC_gcc%%=() { :; }' "$KACHE" explain -- "$nvcc" -c x.cu)" 'shell BASH_FUNC_gcc' \
		"nvcc modes: a function that a shell would call is in the key"
	cu_is 'passthrough dry-run' "--dryrun" --dryrun -c x.cu
	cu_is 'passthrough unknown-flag' "a flag that is not known" -c x.cu --made-up
}

# What is compiled on one side only, and what a single preprocessor run would not show.
sides() {
	cu_begin sides
	two="-gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=sm_90"
	cat > x.cu <<-'EOF'
		#ifndef __CUDA_ARCH__
		#include "host.h"
		#elif __CUDA_ARCH__ >= 900
		#include "late.h"
		#else
		#define V 1
		#endif
		__global__ void k(int *p) { *p = V; }
		int host(void) { return V; }
	EOF
	echo '#define V 2' > host.h
	echo '#define V 3' > late.h
	cu_is miss "three sides" $two -c x.cu
	echo '#define V 4' > host.h
	cu_is miss "the host's has changed" $two -c x.cu
	echo '#define V 5' > late.h
	cu_is miss "that of the second GPU has changed" $two -c x.cu
	echo '#define V 2' > host.h
	echo '#define V 3' > late.h
	cu_is hit "both are as they were" $two -c x.cu
	cu_is miss "the GPUs in the other order" -gencode arch=compute_90,code=sm_90 -gencode arch=compute_80,code=sm_80 -c x.cu
}

headers() {
	cu_begin headers
	mkdir early late
	echo '#define H 1' > late/h.h
	rm h.h
	sed -i 's/"h.h"/<h.h>/' x.cu
	cu_is miss "a header" $arch -Iearly -I late -ptx x.cu
	echo '#define H 2' > late/h.h
	cu_is miss "it has changed" $arch -Iearly -I late -ptx x.cu
	echo '#define H 1' > late/h.h
	cu_is hit "it is as it was" $arch -Iearly -I late -ptx x.cu
	echo '#define H 3' > early/h.h
	cu_is miss "another appears before it" $arch -Iearly -I late -ptx x.cu
	rm early/h.h
	cu_is hit "and is gone" $arch -Iearly -I late -ptx x.cu
	echo 'const char *when = __DATE__ __TIME__;' >> x.cu
	cu_is 'uncached time-macro' "what time it is" $arch -I late -ptx x.cu
}

lists() {
	cu_begin lists
	cu_is miss "-MD" $arch -MD -c x.cu
	cu_is hit "-MD, again" $arch -MD -c x.cu
	mkdir out
	cu_is miss "-MD, another output, which the list names" $arch -MD -odir out -c x.cu
	cu_is hit "in out/" $arch -MD -odir out -c x.cu
	cu_is miss "-MF, -MT, -MP, in long" $arch --generate-dependencies-with-compile --dependency-output one.dep \
		--dependency-target-name t --generate-dependency-targets -ptx x.cu -o a.ptx
	cu_is hit "elsewhere, in short" $arch -MD -MF=two.dep -MT t -MP -ptx x.cu -o b.ptx
	cu_is miss "another target" $arch -MD -MF two.dep -MT u -MP -ptx x.cu
	cu_is 'passthrough dependencies-only' "-M" $arch -M x.cu
}

flags() {
	cu_begin flags
	sed -i 's/= H/= H + V/' x.cu
	cu_is miss "-DV=1" $arch -DV=1 -ptx x.cu
	export NVCC_APPEND_FLAGS=-DV=2
	cu_is miss "NVCC_APPEND_FLAGS" $arch -ptx x.cu
	export NVCC_APPEND_FLAGS=-DV=3
	cu_is miss "of another value" $arch -ptx x.cu
	export NVCC_APPEND_FLAGS=-DV=2
	cu_is hit "of the first value" $arch -ptx x.cu
	unset NVCC_APPEND_FLAGS
	export NVCC_PREPEND_FLAGS=-DV=4
	cu_is miss "NVCC_PREPEND_FLAGS" $arch -ptx x.cu
	unset NVCC_PREPEND_FLAGS
	echo '-DV=5' > args
	cu_is miss "a file of options" $arch -optf args -ptx x.cu
	cu_is hit "again" $arch --options-file=args -ptx x.cu
	echo '-DV=6' > args
	cu_is miss "which has changed" $arch -optf args -ptx x.cu
	cu_is miss "-Xcompiler" $arch -DV=1 -Xcompiler -O1,-fPIC -c x.cu
	cu_is hit "-Xcompiler, again" $arch -DV=1 -Xcompiler -O1,-fPIC -c x.cu
	cu_is miss "-Xcompiler with another value" $arch -DV=1 -Xcompiler -O2,-fPIC -c x.cu
	cu_is miss "as CMake calls it" $arch -forward-unknown-to-host-compiler -DV=1 -O3 --generate-code=arch=compute_80,code=sm_80 \
		-Wall -MD -MT x.o -MF x.o.d -x cu -rdc=true -c "$W/x.cu" -o x.o
	cu_is hit "as CMake calls it, again" $arch -forward-unknown-to-host-compiler -DV=1 -O3 \
		--generate-code=arch=compute_80,code=sm_80 -Wall -MD -MT x.o -MF x.o.d -x cu -rdc=true -c "$W/x.cu" -o x.o
	cu_is 'passthrough host-flag' "-Xcompiler --coverage" $arch -DV=1 -Xcompiler --coverage -ptx x.cu
	export WORD=7
	cu_is 'passthrough shell-word' "a word for the shell" $arch '-DV=$WORD' -ptx x.cu
	mkdir '$WORD'
	TMPDIR="$W/\$WORD"
	cu_is 'passthrough shell-word' "one in TMPDIR" $arch -DV=1 -ptx x.cu
	TMPDIR="$T/tmp"
	unset WORD
	export PTXAS_FLAGS='$WORD'
	cu_is 'uncached shell-word' "one in a variable of nvcc's" $arch -DV=8 -ptx x.cu
	unset PTXAS_FLAGS
	export PTXAS_FLAGS=-O1
	cu_is miss "a variable of nvcc's" $arch -DV=1 -cubin x.cu
	export PTXAS_FLAGS=-O2
	cu_is miss "which has changed" $arch -DV=1 -cubin x.cu
	unset PTXAS_FLAGS
}

# The compiler behind nvcc.
hosts() {
	cu_begin hosts
	cu_is miss "gcc" $arch -ptx x.cu
	cu_is miss "-ccbin g++" $arch -ccbin g++ -ptx x.cu
	cu_is hit "-ccbin g++, again" $arch -ccbin=g++ -ptx x.cu
	mkdir bin
	cp "$(readlink -f "$(command -v gcc)")" bin/gcc
	GCC_EXEC_PREFIX=$(dirname "$(dirname "$(dirname "$(gcc -print-libgcc-file-name)")")")/
	export GCC_EXEC_PREFIX NVCC_CCBIN="$W/bin"
	cu_is miss "NVCC_CCBIN, a copy of gcc" $arch -ptx x.cu
	cu_is hit "again" $arch -ptx x.cu
	printf '\n' >> bin/gcc
	cu_is miss "it was written to" $arch -ptx x.cu
	unset GCC_EXEC_PREFIX NVCC_CCBIN
	printf '#!/bin/sh\nexec gcc -DV=${WORD:-3} "$@"\n' > bin/gcc
	sed -i 's/= H;/= H + V;/' x.cu
	cu_is miss "a script" $arch -ccbin bin -ptx x.cu
	cu_is hit "a script, again" $arch -ccbin bin -ptx x.cu
	cc_kache="env WORD=4 $KACHE $nvcc"
	cu_is miss "that goes by a variable" $arch -ccbin bin -ptx x.cu
	cc_kache=
	mkdir first
	ln -s "$KACHE" first/gcc
	sed -i 's/ + V//' x.cu
	cc_kache="env PATH=$W/first:$PATH $KACHE $nvcc"
	cu_is miss "a link to kache in gcc's place" $arch -ptx x.cu
	cu_is hit "which makes way" $arch -ptx x.cu
	cc_kache=
}

# A toolchain of our own: links to the real one but for what is to change.
tools() {
	cu_begin tools
	real=$(readlink -f "$nvcc")
	real=$(dirname "$(dirname "$real")")
	cp -rs "$real" own
	rm own/bin/nvcc own/bin/nvcc.profile
	cp "$real/bin/nvcc" "$real/bin/nvcc.profile" own/bin
	cc_kache="$KACHE $W/own/bin/nvcc" cc_plain=$W/own/bin/nvcc
	cu_is miss "a copy of nvcc" $arch -cubin x.cu
	cu_is hit "again" $arch -cubin x.cu
	for tool in bin/ptxas nvvm/bin/cicc bin/nvcc; do
		cp --remove-destination "$real/$tool" own/$tool
		printf '\n' >> own/$tool
		cu_is miss "$tool has changed" $arch -cubin x.cu
	done
	sed -i 's/^INCLUDES .*/& "-DFROM_PROFILE" $(_SPACE_)/' own/bin/nvcc.profile
	cu_is miss "nvcc.profile has changed" $arch -cubin x.cu
	cu_is hit "again, with the new one" $arch -cubin x.cu
	sed -i 's/^INCLUDES .*/& "-DX=$HOME" $(_SPACE_)/' own/bin/nvcc.profile
	cu_is 'passthrough unknown-compiler' "nvcc.profile has words for the shell" --threads=1 $arch -cubin x.cu
	cp --remove-destination "$real/bin/nvcc.profile" own/bin
	ln -s own linked
	cc_kache="$KACHE own/bin/nvcc" cc_plain=own/bin/nvcc
	cu_is miss "by a relative name" $arch -MD -ptx x.cu
	cu_is hit "again, with a list of such names" $arch -MD -ptx x.cu
	cc_kache="$KACHE linked/bin/nvcc" cc_plain=linked/bin/nvcc
	cu_is miss "by another name, which the list has" $arch -MD -ptx x.cu
	cc_kache="env PATH=$PATH:$W/own/bin $KACHE $W/own/bin/nvcc" cc_plain="env PATH=$PATH:$W/own/bin $W/own/bin/nvcc"
	cu_is miss "its directory is the last along PATH" $arch -ptx x.cu
	printf '#!/bin/sh\nexec %s -DH=9 "$@"\n' "$(command -v gcc)" > own/bin/gcc
	chmod +x own/bin/gcc
	cu_is miss "where gcc appears, and is the first for nvcc" $arch -ptx x.cu
	rm own/bin/gcc
	cp "$(ldd "$real/nvvm/bin/cicc" | sed -n 's/.*=> \(.*libm\.so[^ ]*\) .*/\1/p')" own/lib
	cu_is miss "a library appears in its own directory" $arch -ptx x.cu
	cc_kache='' cc_plain=''
	rm -rf own
}

messages() {
	cu_begin messages
	echo '__global__ void unused() { int never; }' >> x.cu
	cu_is miss "a warning" $arch -c x.cu
	cu_is hit "is said again" $arch -c x.cu
	like "$(cat "$T/err.kache")" 'never.*declared but never|#177' "nvcc messages: and is one"
	echo 'int wrong = "text";' >> x.cu
	cu_is failed "an error" $arch -c x.cu
	cu_is failed "is not remembered" $arch -c x.cu
}

# nvcc's generated sources look for headers beside themselves first.
temporary() {
	cu_begin temporary
	cu_is miss "temporary files" $arch -c x.cu
	mkdir "$T/other"
	TMPDIR="$T/other"
	cu_is miss "elsewhere" $arch -c x.cu
	TMPDIR="$T/tmp"
	cp "$(dirname "$(readlink -f "$nvcc")")/../include/fatbinary_section.h" "$TMPDIR"
	cu_is miss "a header appears beside them" $arch -c x.cu
	rm "$TMPDIR/fatbinary_section.h"
	cu_is hit "and is gone" $arch -c x.cu
	is "$(ls "$T/tmp" "$T/other" "$KACHE_CACHE_DIR/tmp" | grep -c 'tmpxft\|cc')" 0 "nvcc temporary: none of all these compiles is left"
}

# The table has the flags of this nvcc, and knows which of them take a value.
table() {
	cc_name=table
	def=$srcdir/core/key/nvccargs.def
	"$nvcc" --help | awk '/^--/ && $NF ~ /^[(]-/ { print $1, substr($NF, 2, length($NF) - 2), (NF > 2 ? $2 : "") }' > "$T/help"
	bad=
	n=0
	while read -r name brief value; do
		test "$name" != --dependency-output || value="<file>"	# which its help does not say
		row=$(grep -F "NVCC_FLAG(\"$name\", \"$brief\", " "$def") || continue
		n=$((n + 1))
		case $row in *', WORD, '*) test -z "$value" ;; *) test -n "$value" ;; esac || bad="$bad $name"
	done < "$T/help"
	is "$bad" "" "nvcc table: which flags take a value"
	ok "$(test $n -gt 120; echo $?)" "nvcc table: most flags of this nvcc are known ($n)"
}

for cc_case in table modes sides headers lists flags hosts tools messages temporary; do $cc_case; done
finish
