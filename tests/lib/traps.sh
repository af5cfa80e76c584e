# Traps: small cargo projects, each with a change that tempts a cache to lie. Source lib.sh, cargo.sh and this.
#
#	trap_begin NAME            a fresh project below $W, with the package NAME in it: fill it in
#	trap_is EXPECT CRATE TEXT  builds it as it is now, without kache and with it, and compares
#
# trap_is builds four times: with and without kache, each in the target directory of before and in an empty one. Exit
# status, diagnostics and what the program says have to be the same with and without, and the next `cargo build` after
# kache has nothing to do.
# EXPECT says what has to become of CRATE: "miss", "hit" (a promise), "any" (both are right).
# One point for all of it, and what went wrong in comments. The program is $trap_run (default: the package's binary).
#	trap_cargo="build …"   what cargo is asked for    trap_env="A=1 B=2"   variables of the builds and of the program
#	trap_kind=KIND         only events of that kind tell about CRATE
#	trap_drop="COMMAND"    what runs cargo, see drop_rights

# A backtrace tells the names that sources have in the debug information, which are other ones with kache.
export KACHE_INCREMENTAL=never KACHE_DAEMON=off RUST_BACKTRACE=0 CARGO_INCREMENTAL=0
trap_cargo=build
trap_kind='[^ ]+'
trap_drop=

trap_begin() {
	W=$T/t.$1
	trap_name=$1
	trap_cargo=build
	trap_env=
	trap_run=
	trap_drop=
	rm -rf "$W" "$T"/plain.* "$T"/kache.*
	mkdir -p "$W/src"
	printf '[package]\nname = "%s"\nversion = "0.1.0"\nedition = "2021"\n' "$1" > "$W/Cargo.toml"
}

# A package beside the main one, which depends on it.
trap_dependency() { # NAME SOURCE [MORE-TOML]
	mkdir -p "$W/$1/src"
	printf '[package]\nname = "%s"\nversion = "0.1.0"\nedition = "2021"\n%s\n' "$1" "${3:-}" > "$W/$1/Cargo.toml"
	printf '%s\n' "$2" > "$W/$1/src/lib.rs"
	grep -q '^\[dependencies\]' "$W/Cargo.toml" || echo '[dependencies]' >> "$W/Cargo.toml"
	echo "$1 = { path = \"$1\" }" >> "$W/Cargo.toml"
}

# One that cargo gets from a repository, which is $W.git.
trap_git_dependency() { # NAME SOURCE
	mkdir -p "$W.git/src"
	printf '[package]\nname = "%s"\nversion = "0.1.0"\nedition = "2021"\n' "$1" > "$W.git/Cargo.toml"
	printf '%s\n' "$2" > "$W.git/src/lib.rs"
	(cd "$W.git" && git init -q . && git config user.email t@example.com && git config user.name t &&
		git add . && git commit -qm 1) > "$T/git" 2>&1
	printf '[dependencies]\n%s = { git = "file://%s" }\n' "$1" "$W.git" >> "$W/Cargo.toml"
}

# A function-like macro `mac::m!()` whose body gives a String that becomes a literal.
macro() { # BODY [ITEMS-BESIDE]
	trap_dependency mac "use proc_macro::TokenStream; ${2:-}
#[proc_macro] pub fn m(_: TokenStream) -> TokenStream { let s: String = { $1 }; format!(\"{s:?}\").parse().unwrap() }" '[lib]
proc-macro = true'
	echo 'fn main() { println!("{}", mac::m!()); }' > "$W/src/main.rs"
}

# Cargo does not know of what a macro reads, or a linker finds, so only an empty directory tells.
unseen() { rm -rf "$T"/*.kept; }

# trap_build DIR WRAPPER: status, diagnostics and the program's words into $T/said.NAME
trap_build() {
	(cd "$W" && env $trap_env RUSTC_WRAPPER="$2" CARGO_TARGET_DIR="$1" $trap_drop cargo $trap_cargo) > "$T/log" 2>&1
	trap_status=$?
	{
		echo "status $trap_status"
		# Diagnostics come in the order in which crates end.
		grep -Ev '^ *(Compiling|Adding|Updating|Removing|Checking|Finished|Running|Fresh|Blocking|Dirty|Documenting|Generated|Locking|Doc-tests) |finished in' "$T/log" | sort
		test $trap_status -ne 0 || (cd "$W" && env $trap_env CARGO_TARGET_DIR="$1" ${trap_run:-"$1/debug/$trap_name"} 2>&1)
	} | sed -E "s,$1,TARGET,g; s/^( *thread '[^']*') \\([0-9]+\\)/\\1/; s,/rustc[A-Za-z0-9]{6}/,/TEMP/,g; /could not compile/s/ \\(.*//" > "$T/said"
}

trap_fresh() { # plain|kache WRAPPER
	(cd "$W" && env $trap_env RUSTC_WRAPPER="$2" CARGO_TARGET_DIR="$T/$1.$trap_dir" $trap_drop cargo $trap_cargo -v) > "$T/fresh" 2>&1
	! grep -Eq '^ *(Compiling|Checking|Dirty) ' "$T/fresh"
}

trap_is() { # EXPECT CRATE TEXT
	trap_bad=
	events > "$T/ignored"
	for trap_dir in kept clean; do
		test $trap_dir = kept || rm -rf "$T/plain.clean" "$T/kache.clean"
		trap_build "$T/plain.$trap_dir" ""
		mv "$T/said" "$T/said.plain.$trap_dir"
		trap_build "$T/kache.$trap_dir" "$KACHE"
		mv "$T/said" "$T/said.kache.$trap_dir"
		cmp -s "$T/said.plain.$trap_dir" "$T/said.kache.$trap_dir" || trap_bad="$trap_bad differs-$trap_dir"
		test $trap_status -eq 0 || continue
		# What cargo itself never finds fresh (a time in the future, say) is not ours to mend.
		trap_fresh kache "$KACHE" || ! trap_fresh plain "" || trap_bad="$trap_bad not-fresh-$trap_dir"
	done
	ev=$(events)
	case $1 in
	hit) test "$(count "^(miss|uncached|passthrough|failed) $trap_kind $2 ")" = 0 && test "$(count "^hit $trap_kind $2 ")" -gt 0 || trap_bad="$trap_bad no-hit" ;;
	miss) test "$(count "^(miss|uncached|passthrough|failed) $trap_kind $2 ")" -gt 0 || trap_bad="$trap_bad no-miss" ;;
	esac
	ok "$(test -z "$trap_bad"; echo $?)" "$trap_name: $3"
	test -n "$trap_bad" || return 0
	echo "# wrong:$trap_bad"
	for trap_dir in kept clean; do diff "$T/said.plain.$trap_dir" "$T/said.kache.$trap_dir" | head -n 8 | sed "s/^/# $trap_dir: /"; done
	printf '%s\n' "$ev" | head -n 12 | sed 's/^/# event: /'
}
