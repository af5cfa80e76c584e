# One hit as cargo causes it: a library with 20 source files and 5 dependencies, in a workspace. For tests/cli/budget.sh and bench/.

# hit_make DIR: the workspace.
hit_make() {
	mkdir -p "$1/hit/src"
	printf '[package]\nname = "hit"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\n' > "$1/hit/Cargo.toml"
	for hit_i in $(seq 19); do
		echo "pub mod m$hit_i;"
		echo "pub fn f() -> usize { $hit_i }" > "$1/hit/src/m$hit_i.rs"
	done > "$1/hit/src/lib.rs"
	for hit_i in 1 2 3 4 5; do
		mkdir -p "$1/d$hit_i/src"
		printf '[package]\nname = "d%d"\nversion = "0.1.0"\nedition = "2021"\n' $hit_i > "$1/d$hit_i/Cargo.toml"
		echo "pub fn d() {}" > "$1/d$hit_i/src/lib.rs"
		echo "d$hit_i = { path = \"../d$hit_i\" }" >> "$1/hit/Cargo.toml"
		echo "pub fn u$hit_i() { d$hit_i::d() }" >> "$1/hit/src/lib.rs"
	done
	printf '[workspace]\nmembers = ["hit", "d1", "d2", "d3", "d4", "d5"]\nresolver = "2"\n' > "$1/Cargo.toml"
	cat > "$1/wrapper" <<-'END'
		#!/bin/sh
		case " $* " in
		*" --crate-name hit "*) exec $HIT_RUN "$HIT_KACHE" "$@" ;;
		esac
		exec "$HIT_KACHE" "$@"
	END
	chmod +x "$1/wrapper"
	(cd "$1" && cargo generate-lockfile -q --offline)
	# Young files are hashed anew each time; these are to be taken for what they are: long known.
	find "$1" -type f -exec touch -d '1 hour ago' {} +
}

# hit_build KACHE DIR [COMMAND]: builds from an empty target directory, the library's call by COMMAND. Of the environment only what
# cargo and kache need is there, for it counts too.
hit_build() {
	rm -rf "$2/target"
	(cd "$2" && env -i PATH="$PATH" HOME="$HOME" ${CARGO_HOME:+CARGO_HOME="$CARGO_HOME"} KACHE_PREFILL=0 KACHE_CACHE_DIR="$KACHE_CACHE_DIR" \
		XDG_CONFIG_HOME="$2/none" HIT_KACHE="$1" HIT_RUN="${3:-}" RUSTC_WRAPPER="$2/wrapper" cargo build -q --offline -p hit)
}

# hit_calls TRACE: the number of system calls that strace -f -o TRACE saw. hit_programs TRACE: of programs and processes started.
hit_calls() { grep -cE '^[0-9]+ +[a-z0-9_]+\(' "$1"; }
hit_programs() { grep -cE '^[0-9]+ +(execve|execveat|fork|vfork|clone3?)\(' "$1"; }
# hit_levels DIR: in how many directories a project file is looked for.
hit_levels() { (cd "$1" && pwd -P | tr -dc / | wc -c | awk '{ print $1 + 1 }'); }
