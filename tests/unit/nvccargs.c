/* core/key/nvccargs: which calls of nvcc are compiles, what is in their key, where their outputs go. */
#include "config.h"
#include "ccargs-check.h"

#include "base/file.h"
#include "key/nvccargs.h"

#include <unistd.h>

struct flag {
	const char *name, *brief;
};

static const struct flag flags[] = {
#define NVCC_FLAG(name, brief, shape, action, reason) { name, brief },
#include "key/nvccargs.def"
#undef NVCC_FLAG
};

static struct kache_cc_args parse_with(const char *prepend, const char *line, const char *append)
{
	KACHE_AUTO_STRS struct kache_strs words = { NULL, 0, 0 };
	struct kache_cc_args a;

	words_of(line, &words);
	kache_nvcc_args_parse((int)words.n, words.v, prepend, append, "/cwd", &a);
	return a;
}

static struct kache_cc_args parse(const char *line)
{
	return parse_with("", line, "");
}

static void test_modes(void)
{
	compiles("-c a.cu", "cu", "a.o", NULL);
	compiles("-dc dir/a.cu", "cu", "a.o", NULL);
	compiles("-dw a.cu -o b.o", "cu", "b.o", NULL);
	compiles("--compile a.cu --output-file=b.o", "cu", "b.o", NULL);
	compiles("-c -dc a.cu -o=b.o", "cu", "b.o", NULL);
	compiles("-c a.cu -o b.o -o c.o", "cu", "c.o", NULL);
	compiles("-c a.cu -odir out", "cu", "out/a.o", NULL);
	compiles("-c a.cu -odir out -o b.o", "cu", "b.o", NULL);
	compiles("-ptx a.cu", "cu", "a.ptx", NULL);
	compiles("--cubin dir/a.b.cu", "cu", "a.b.cubin", NULL);
	compiles("-fatbin a.cu -o x", "cu", "x", NULL);
	compiles("-c a.cpp", "c++", "a.o", NULL);
	compiles("-c a.c", "c", "a.o", NULL);
	compiles("-x cu -c a.cpp", "cu", "a.o", NULL);
	compiles("--x=cu -c noend", "cu", "noend.o", NULL);
	is_refused("a.cu", "link", NULL);
	is_refused("a.o -o prog -lcuda --unheard-of", "link", NULL);
	is_refused("-c", "no-source", NULL);
	is_refused("-c a.cu b.cu", "several-sources", NULL);
	is_refused("-c a.o", "other-input", "a.o");
	is_refused("-cubin a.ptx", "other-input", "a.ptx");
	is_refused("-x cu -c -", "standard-input", NULL);
	is_refused("-x fortran -c a", "language", "fortran");
	is_refused("-c -ptx a.cu", "several-outputs", "-ptx");
	is_refused("-dlink a.o -o b.o", "device-link", "-dlink");
	is_refused("-run a.cu", "run", "-run");
	is_refused("-lib a.o", "library", "-lib");
	is_refused("--version", "query", "--version");
	is_refused("", "query", NULL);
	is_refused("-E a.cu", "preprocess", "-E");
	is_refused("-M a.cu", "dependencies-only", "-M");
	is_refused("-c --dryrun a.cu", "dry-run", "--dryrun");
	is_refused("-c --keep a.cu", "save-temps", "--keep");
	is_refused("-c -keep-dir x a.cu", "save-temps", "-keep-dir");
	is_refused("-c -save-temps a.cu", "save-temps", NULL);
	is_refused("-c -v a.cu", "verbose", NULL);
	is_refused("-c -time x.csv a.cu", "report", "-time");
	is_refused("-c -objtemp a.cu", "temporary-files", NULL);
	is_refused("-c -arch=native a.cu", "native-architecture", "native");
	is_refused("-c -gencode arch=native,code=sm_80 a.cu", "native-architecture", NULL);
	is_refused("-c a.cu -o", "unknown-flag", "-o");
}

static void test_depfiles(void)
{
	compiles("-MD -c a.cu", "cu", "a.o", "a.d");
	compiles("-MMD -c src/a.cu -o out/b.cu.o", "cu", "out/b.cu.o", "out/b.cu.d");
	compiles("-MD -c a.b.cu -odir out", "cu", "out/a.b.o", "out/a.b.d");
	compiles("-MD -MF=x/y.dep -c a.cu", "cu", "a.o", "x/y.dep");
	compiles("--generate-dependencies-with-compile --dependency-output z -MT t -c a.cu", "cu", "a.o", "z");
	compiles("-MD -ptx a.cu -o r/z.ptx", "cu", "r/z.ptx", "r/z.d");
	is_refused("-MD -MF - -c a.cu", "dependency-flags", NULL);
}

static void test_key(void)
{
	key_is("-c a.cu -o x.o", "-c|");
	key_is("-dc a.cu -o x.o", "-dc|");
	key_is("-c -arch sm_80 a.cu", "-c|;-arch|sm_80");
	key_is("-c --gpu-architecture=sm_80 a.cu", "-c|;-arch|sm_80");
	key_is("-gencode=arch=compute_80,code=sm_80 -gencode arch=compute_90,code=[sm_90,compute_90] -c a.cu",
	       "-gencode|arch=compute_80,code=sm_80;-gencode|arch=compute_90,code=[sm_90,compute_90];-c|");
	key_is("-DA=1 -D B -Iinc -I=inc --include-path inc -isystem=sys -include x.h -c a.cu",
	       "-D|A=1;-D|B;-I|inc;-I|inc;-I|inc;-isystem|sys;-include|x.h;-c|");
	key_is("-O3 -O 2 --optimize=1 -t4 -lm -lineinfo -c a.cu", "-O|3;-O|2;-O|1;-t|4;-l|m;-lineinfo|;-c|");
	key_is("-MD -MF where.d -MT t -MP -c a.cu", "-MD|;-MT|t;-MP|;-c|");
	key_is("-ccbin g++-12 -rdc=true -std=c++17 --ftz=true -c a.cu", "-ccbin|g++-12;-rdc|true;-std|c++17;-ftz|true;-c|");
	key_is("-Xcompiler -fPIC,-Wall --compiler-options=-O2 -Xptxas=-v -c a.cu",
	       "-Xcompiler|-fPIC,-Wall;-Xcompiler|-O2;-Xptxas|-v;-c|");
	key_is("-forward-unknown-to-host-compiler -fPIC -c a.cu", "-forward-unknown-to-host-compiler|;-unknown|-fPIC;-c|");
}

static void test_handed_on(void)
{
	compiles("-c a.cu -Xcompiler -fPIC,-Wall,-O2", "cu", "a.o", NULL);
	compiles("-c a.cu -Xcompiler -fPIC~-Wall -Xcompiler=-I -Xcompiler=dir", "cu", "a.o", NULL);
	compiles("-forward-unknown-to-host-compiler -Wextra -fopenmp -c a.cu", "cu", "a.o", NULL);
	compiles("-c a.cu --forward-unknown-opts -march=x86-64", "cu", "a.o", NULL);
	compiles("-c a.cu -Xptxas -v,-O3,-dlcm=ca --ptxas-options=--warn-on-spills", "cu", "a.o", NULL);
	compiles("-c a.cu -Xcudafe --diag_suppress=177 -Xnvlink --any -Xlinker -any", "cu", "a.o", NULL);
	is_refused("-c a.cu -Wextra", "unknown-flag", "-Wextra");
	is_refused("-c a.cu --made-up=1", "unknown-flag", "--made-up");
	is_refused("-c a.cu -tomorrow", "unknown-flag", "-tomorrow");
	is_refused("-c a.cu -Os", "unknown-flag", "-Os");
	is_refused("-c a.cu -forward-unknown-to-host-compiler -fmade-up", "unknown-flag", "-fmade-up");
	is_refused("-c a.cu -forward-unknown-to-host-linker -Wextra", "unknown-flag", "-Wextra");
	is_refused("-c a.cu -Xcompiler -fmade-up", "unknown-flag", "-fmade-up");
	is_refused("-c a.cu -Xcompiler -save-temps", "save-temps", NULL);
	is_refused("-c a.cu -Xcompiler -MD", "host-flag", NULL);
	is_refused("-c a.cu -Xcompiler -S", "host-flag", NULL);
	is_refused("-c a.cu -Xcompiler --coverage", "host-flag", NULL);
	is_refused("-c a.cu -Xcompiler -o,b.o", "host-flag", NULL);
	is_refused("-c a.cu -Xcompiler -I", "link", NULL);
	is_refused("-c a.cu -Xcompiler -x,c", "host-flag", NULL);
	is_refused("-c a.cu -Xcompiler b.c", "several-sources", NULL);
	is_refused("-c a.cu -Xcompiler -DX=\"a\"", "host-flag", NULL);
	is_refused("-c a.cu -Xcompiler -O2;ls", "host-flag", NULL);
	is_refused("-c a.cu -Xptxas -o,b", "ptxas-flag", "-o");
	is_refused("-c a.cu -Xptxas --made-up=1", "ptxas-flag", "--made-up");
	is_refused("-c a.cu -Xcudafe --made-up", "cudafe-flag", "--made-up");
	is_refused("-c a.cu -Xcicc -O3", "phase-flag", NULL);
	is_refused("-c a.cu -DX=$HOME", "shell-word", NULL);
	is_refused("-c a.cu -DX=`id`", "shell-word", NULL);
	is_refused("-c a.cu -I $X/inc", "shell-word", "$X/inc");
	is_refused("-c $X/a.cu", "shell-word", NULL);
}

static void test_traits(void)
{
	struct kache_cc_args a = parse("-c a.cu -Xcompiler -march=native");

	ok(!a.why && a.native_cpu, "-Xcompiler -march=native asks the processor");
	kache_cc_args_release(&a);
	a = parse("-c a.cu -ccbin one --compiler-bindir=two");
	is_str(a.host, "two", "the last -ccbin counts");
	kache_cc_args_release(&a);
	a = parse("-MD -MT x -c a.cu");
	ok(a.target_given, "-MT names the target");
	kache_cc_args_release(&a);
	a = parse("-ptx a.cu");
	ok(a.assembly, "-ptx makes assembly");
	kache_cc_args_release(&a);
}

static void test_variables(void)
{
	struct kache_cc_args a = parse_with("-DA -dc", "a.cu", " -o b.o\n");
	char *got = key_text(&a);

	ok(!a.why && !strcmp(a.output, "b.o"), "flags of both variables count");
	is_str(got, "-D|A;-dc|", "and are in the key");
	free(got);
	kache_cc_args_release(&a);
	a = parse_with("", "-c a.cu", "-DA=\"x\"");
	is_str(a.why, "flags-variable", "quotes in a variable");
	is_str(a.detail, "NVCC_APPEND_FLAGS", "which is named");
	kache_cc_args_release(&a);
	a = parse_with("-dlink", "-c a.cu", "");
	is_str(a.why, "device-link", "what a variable asks for is not overlooked");
	kache_cc_args_release(&a);
}

static void test_options(void)
{
	char *dir = tap_dir(), *path = kache_asprintf("%s/args", dir), *line = kache_asprintf("-c -optf %s -DC", path), *got;
	static const char text[] = "-DA=\"x y\"\n\t-I\"in c\" a.cu\n";
	char *nested = kache_asprintf("-DB --options-file=%s", path);
	struct kache_cc_args a;

	kache_file_replace(path, text, sizeof text - 1, 0600);
	a = parse(line);
	got = key_text(&a);
	ok(!a.why && !strcmp(a.source, "a.cu"), "a file of options");
	is_str(got, "-c|;-D|A=x y;-I|in c;-D|C", "its words stand in its place");
	free(got);
	kache_cc_args_release(&a);
	kache_file_replace(path, nested, strlen(nested), 0600);
	a = parse(line);
	is_str(a.why, "options-file", "one that names itself");
	kache_cc_args_release(&a);
	kache_file_replace(path, "-DA=x\\ y", 8, 0600);
	a = parse(line);
	is_str(a.why, "options-file", "one with a backslash");
	kache_cc_args_release(&a);
	kache_file_replace(path, "-DA=\"x", 6, 0600);
	a = parse(line);
	is_str(a.why, "options-file", "one with half a pair of quotes");
	kache_cc_args_release(&a);
	kache_file_replace(path, "-DA\0-DB", 7, 0600);
	a = parse(line);
	is_str(a.why, "options-file", "one with a NUL");
	kache_cc_args_release(&a);
	unlink(path);
	is_refused("-c a.cu -optf /no/such/file", "options-file", "/no/such/file");
	is_refused("-c a.cu -optf", "options-file", "-optf");
	key_is("-c a.cu -include -optf", "-c|;-include|-optf");
	rmdir(dir);
	free(nested);
	free(line);
	free(path);
	free(dir);
}

static void test_table(void)
{
	bool twice = false;

	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
		for (size_t j = 0; j < i; j++)
			twice |= !strcmp(flags[i].name, flags[j].name) || !strcmp(flags[i].brief, flags[j].brief);
	ok(!twice, "no flag stands twice in the table");
}

int main(void)
{
	test_modes();
	test_depfiles();
	test_key();
	test_handed_on();
	test_traits();
	test_variables();
	test_options();
	test_table();
	return done();
}
