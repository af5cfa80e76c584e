/* core/key/ccargs: which calls of a C compiler are compiles, what is in their key, where their outputs go. */
#include "config.h"
#include "ccargs-check.h"

#include "base/file.h"
#include "key/ccargs.h"

#include <unistd.h>

static const char *const f_names[] = {
#define CC_F(name) name,
#include "key/ccargs.def"
#undef CC_F
};

static struct kache_cc_args parse(const char *line)
{
	KACHE_AUTO_STRS struct kache_strs words = { NULL, 0, 0 };
	struct kache_cc_args a;

	words_of(line, &words);
	kache_cc_args_parse((int)words.n, words.v, "/cwd", &a);
	return a;
}

static void test_modes(void)
{
	compiles("-c a.c", "c", "a.o", NULL);
	compiles("-c dir/a.cpp", "c++", "a.o", NULL);
	compiles("-S -O2 dir/a.c", "c", "a.s", NULL);
	compiles("-c -S a.c", "c", "a.s", NULL);
	compiles("-c a.c -o out/b.o", "c", "out/b.o", NULL);
	compiles("-c a.c -oout/b.o", "c", "out/b.o", NULL);
	compiles("-c a.S", "assembler-with-cpp", "a.o", NULL);
	compiles("-c a.s -MD", "assembler", "a.o", NULL);
	compiles("-c a.ii", "c++-cpp-output", "a.o", NULL);
	compiles("-x c++ -c a.c", "c++", "a.o", NULL);
	compiles("-xc -c noend", "c", "noend.o", NULL);
	compiles("-x c -x none -c a.cc", "c++", "a.o", NULL);
	compiles("-c a.C", "c++", "a.o", NULL);
	is_refused("a.c", "link", NULL);
	is_refused("a.o b.o -o prog -lm", "link", NULL);
	is_refused("-o prog a.o --unheard-of", "link", NULL);
	is_refused("-shared -o x.so a.o", "link", NULL);
	is_refused("-E a.c", "preprocess", "-E");
	is_refused("-M a.c", "dependencies-only", "-M");
	is_refused("-fsyntax-only a.c", "syntax-only", NULL);
	is_refused("--version", "query", "--version");
	is_refused("-print-prog-name=cc1", "query", NULL);
	is_refused("-c", "no-source", NULL);
	is_refused("-c a.c b.c", "several-sources", NULL);
	is_refused("-c a.c b.o", "other-input", "b.o");
	compiles("-x c -c -", "c", "-.o", NULL);
	compiles("-x c -c - -o in.o -MD", "c", "in.o", "in.d");
	is_refused("-c -", "other-input", "-");
	compiles("-c a.m", "objective-c", "a.o", NULL);
	compiles("-c a.mm", "objective-c++", "a.o", NULL);
	compiles("-x objective-c -c a.c", "objective-c", "a.o", NULL);
	is_refused("-x cuda -c a.cu", "language", "cuda");
	is_refused("-v -c a.c", "verbose", "-v");
	is_refused("-### -c a.c", "verbose", "-###");
}

static void test_depfiles(void)
{
	compiles("-MD -c a.c", "c", "a.o", "a.d");
	compiles("-MMD -c src/a.c", "c", "a.o", "a.d");
	compiles("-MD -c a.c -o out/b.o", "c", "out/b.o", "out/b.d");
	compiles("-MD -c a.c -o out/b.c.o", "c", "out/b.c.o", "out/b.c.d");
	compiles("-MD -c a.c -o out.d/b", "c", "out.d/b", "out.d/b.d");
	compiles("-MD -MF x -MF y/z.dep -c a.c", "c", "a.o", "y/z.dep");
	compiles("-MF x -c a.c", "c", "a.o", NULL);
	compiles("-Wp,-MD,x.d -c a.c -o a.o", "c", "a.o", "x.d");
	compiles("-Wp,-MMD,.a.o.d,-MT,t -c a.c", "c", "a.o", ".a.o.d");
	is_refused("-Wp,-MD,x.d -MF y.d -c a.c", "dependency-flags", "-Wp,");
	is_refused("-Wp,-MD -c a.c", "preprocessor-flag", NULL);
	is_refused("-MD -MF - -c a.c", "dependency-flags", NULL);
	is_refused("-MD -MG -c a.c", "dependencies-only", "-MG");
	is_refused("-MJ x.json -c a.c", "compilation-database", NULL);
}

static void test_headers(void)
{
	struct kache_cc_args a;

	compiles("a.h", "c-header", "a.h.gch", NULL);
	compiles("-c dir/a.hpp", "c++-header", "dir/a.hpp.gch", NULL);
	compiles("-x c++-header -c a", "c++-header", "a.gch", NULL);
	compiles("-x c-header a.h -o out/b.pch -MD", "c-header", "out/b.pch", "out/b.d");
	compiles("-x c++-header -o F.gch -MD -MF F.d -c F.cxx", "c++-header", "F.gch", "F.d");
	compiles("-Xclang -emit-pch -Xclang -include -Xclang F -x c++-header -o F.pch -c F.cxx", "c++-header", "F.pch", NULL);
	compiles("-Xclang -include-pch -Xclang F.pch -Xclang -include -Xclang F -c a.cc", "c++", "a.o", NULL);
	compiles("-include-pch x.pch -c a.c", "c", "a.o", NULL);
	is_refused("a.h b.h", "link", NULL);
	is_refused("a.h b.o", "other-input", "b.o");
	is_refused("-S a.h", "precompiled-header", "-S");
	is_refused("-E a.h", "preprocess", "-E");
	is_refused("-x c-header -", "standard-input", NULL);
	is_refused("-x c++-user-header -c a.h", "modules", "c++-user-header");
	is_refused("-x c++-header -fmodules-ts a.h", "modules", "-fmodules-ts");
	is_refused("-Xclang -emit-pch -c a.cc", "xclang", "-emit-pch");
	a = parse("-Xclang -fno-pch-timestamp -x c-header a.h");
	ok(a.header && a.no_pch_times, "a header, and its times do not count");
	kache_cc_args_release(&a);
}

static void test_handed_on(void)
{
	key_is("-Xclang -include -Xclang F -mllvm -inline-threshold=5 -c a.c", "-Xclang|-include;-Xclang|F;-mllvm|-inline-threshold=5;-c|");
	key_is("-Xclang -target-feature -O2 -Xclang +avx -c a.c", "-Xclang|-target-feature;-O|2;-Xclang|+avx;-c|");
	key_is("-Xclang -mllvm -Xclang -asan-stack=0 -c a.c", "-Xclang|-mllvm;-Xclang|-asan-stack=0;-c|");
	key_is("-Xpreprocessor -DA=1,2 -Xassembler --noexecstack -c a.c", "-Xpreprocessor|-DA=1,2;-Xassembler|--noexecstack;-c|");
	is_refused("-c a.c -Xclang -ast-dump", "xclang", "-ast-dump");
	is_refused("-c a.c -Xclang -load -Xclang x.so", "xclang", "-load");
	is_refused("-c a.c -Xclang file", "xclang", "file");
	is_refused("-c a.c -Xclang -include", "xclang", "-include");
	is_refused("-c a.c -mllvm -stats", "mllvm", "-stats");
	is_refused("-c a.c -mllvm=-stats", "mllvm", "-stats");
	is_refused("-c a.c -Xclang -mllvm -Xclang -time-passes", "mllvm", "-time-passes");
	is_refused("-c a.c -Xassembler -al=x.lst", "assembler-flag", "-Xassembler -al=x.lst");
	is_refused("-c a.c -Xpreprocessor -MD -Xpreprocessor x.d", "preprocessor-flag", NULL);
}

static void test_key(void)
{
	key_is("-c a.c -o x.o", "-c|");
	key_is("-DA=1 -D B -c -O2 -Wall -std=c11 a.c", "-D|A=1;-D|B;-c|;-O|2;-W|all;-std=|c11");
	key_is("-Iinc -I inc -isystem sys -include x.h -c a.c", "-I|inc;-I|inc;-isystem|sys;-include|x.h;-c|");
	key_is("-fPIC -fno-inline -fvisibility=hidden -c a.c", "-f|PIC;-f|no-inline;-f|visibility=hidden;-c|");
	key_is("-ffile-prefix-map=/a=b -fdebug-prefix-map=/c=d -c a.c", "-ffile-prefix-map=|/a=b;-fdebug-prefix-map=|/c=d;-c|");
	key_is("-fno-builtin-memcpy -ffixed-x18 -c a.c", "-fno-builtin-|memcpy;-ffixed-|x18;-c|");
	key_is("-MD -MF where.d -MT t -MQ u -MP -c a.c", "-MD|;-MT|t;-MQ|u;-MP|;-c|");
	key_is("-Wp,-D_FORTIFY_SOURCE=2 -Wa,--noexecstack -Wl,-z,now -c a.c",
	       "-Wp,|-D_FORTIFY_SOURCE=2;-Wa,|--noexecstack;-Wl,|-z,now;-c|");
	key_is("-march=x86-64 -m64 --param max=1 --param=b=2 -c a.c", "-march=|x86-64;-m|64;--param|max=1;--param=|b=2;-c|");
}

static void test_refused(void)
{
	is_refused("-c a.c -fmade-up-flag", "unknown-flag", "-fmade-up-flag");
	is_refused("-c a.c --made-up=x", "unknown-flag", "--made-up");
	is_refused("-c a.c -o", "unknown-flag", "-o");
	/* Of clang, and no "-o" with a name. */
	is_refused("-c a.c -o a.o -objcmt-migrate-all", "unknown-flag", "-objcmt-migrate-all");
	is_refused("-c a.c -o a.o -object-file-name=x", "unknown-flag", "-object-file-name=x");
	is_refused("-c a.c -save-temps=obj", "save-temps", NULL);
	is_refused("-c a.c -fdump-passes", "dump", NULL);
	is_refused("-c a.c -dM", "dump", NULL);
	is_refused("-c a.c -fplugin=x.so", "plugin", NULL);
	is_refused("-c a.c -fmodules", "modules", NULL);
	is_refused("-c a.cc -fmodules-ts", "modules", NULL);
	is_refused("-c a.c -arch x86_64 -arch arm64", "several-targets", NULL);
	is_refused("-c a.c -wrapper gdb,--args", "wrapper", NULL);
	is_refused("-c a.c -ftime-report", "report", NULL);
	is_refused("-c a.c -ftime-trace", "report", NULL);
	is_refused("-c a.c -Wa,-al=x.lst", "assembler-flag", NULL);
	is_refused("-c a.c -Wp,-dM", "preprocessor-flag", NULL);
	is_refused("-c a.c @/no/such/file", "response-file", NULL);
}

static void test_traits(void)
{
	struct kache_cc_args a = parse("-c a.c -march=native -fdiagnostics-color=never");

	ok(a.native_cpu && a.colour_given && !a.place, "-march=native, and colours as the caller says");
	kache_cc_args_release(&a);
	a = parse("-c a.c --coverage");
	ok(!a.why && a.place && !a.record, "--coverage writes a file beside the object");
	kache_cc_args_release(&a);
	a = parse("-c a.c -frecord-gcc-switches");
	ok(!a.why && a.place && a.record, "-frecord-gcc-switches writes the command line down");
	kache_cc_args_release(&a);
	a = parse("-c a.c -g -gz");
	ok(!a.why && a.compressed, "-gz compresses");
	kache_cc_args_release(&a);
	a = parse("-c a.c -Wa,--compress-debug-sections");
	ok(!a.why && a.compressed, "so does the assembler");
	kache_cc_args_release(&a);
	a = parse("-Iinc -DX -ffile-prefix-map=a=b -c a.c");
	ok(!a.compressed && a.parts[0].kind == KACHE_CC_PATH && a.parts[1].kind == KACHE_CC_TEXT && a.parts[2].kind == KACHE_CC_PATH_MAP,
	   "paths, text, and maps of paths");
	kache_cc_args_release(&a);
	a = parse("-c a.c -MD -MT x");
	ok(a.target_given, "-MT names the target");
	kache_cc_args_release(&a);
	a = parse("-c a.c -g -gsplit-dwarf");
	ok(!a.why && a.place, "-gsplit-dwarf has a side file");
	kache_cc_args_release(&a);
}

static void test_response(void)
{
	char *dir = tap_dir(), *path = kache_asprintf("%s/args", dir), *at = kache_asprintf("@%s", path), *argv[] = { at, NULL };
	static const char text[] = "-c 'a b.c'\n\t-DX=\\\"q\\ r\\\" \"-DY='z'\" -I\"in c\"\n";
	struct kache_cc_args a;

	kache_file_replace(path, text, sizeof text - 1, 0600);
	kache_cc_args_parse(1, argv, "/cwd", &a);
	is_int(a.argv.n, 5, "words of a response file");
	is_str(a.argv.v[1], "a b.c", "in single quotes");
	is_str(a.argv.v[2], "-DX=\"q r\"", "with backslashes");
	is_str(a.argv.v[3], "-DY='z'", "in double quotes");
	is_str(a.argv.v[4], "-Iin c", "quoted in part");
	ok(!a.why && !strcmp(a.source, "a b.c"), "and they are parsed");
	kache_cc_args_release(&a);
	kache_file_replace(path, at, strlen(at), 0600);
	kache_cc_args_parse(1, argv, "/cwd", &a);
	is_str(a.why, "response-file", "a file that names itself");
	kache_cc_args_release(&a);
	unlink(path);
	rmdir(dir);
	free(at);
	free(path);
	free(dir);
}

int main(void)
{
	bool sorted = true;

	for (size_t i = 1; i < sizeof f_names / sizeof *f_names; i++)
		sorted &= strcmp(f_names[i - 1], f_names[i]) < 0;
	ok(sorted, "the names of -f are in order");
	test_modes();
	test_depfiles();
	test_headers();
	test_handed_on();
	test_key();
	test_refused();
	test_traits();
	test_response();
	return done();
}
