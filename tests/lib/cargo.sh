# For tests that build with cargo: a small workspace without outside dependencies, and counts of events.
# Source after lib.sh.

need cargo rustc cc
export CARGO_HOME=${CARGO_HOME:-$HOME/.cargo} CARGO_NET_OFFLINE=true CARGO_TERM_COLOR=never
unset CARGO_PRIMARY_PACKAGE OUT_DIR RUSTC RUSTC_LOG RUSTC_BOOTSTRAP

# make_leaf DIR NUMBER: the library that all others of a workspace depend on, with another number.
make_leaf() {
	cat > "$1/leaf/src/lib.rs" <<-EOF
		pub fn number() -> u32 { $2 }
		pub fn text() -> &'static str { include_str!("text.txt") }
	EOF
}

# make_workspace DIR: lib <- mid <- app, a proc macro that reads a file and a variable, a build script
# that writes code into OUT_DIR, a test.
make_workspace() {
	mkdir -p "$1/leaf/src" "$1/mid/src" "$1/mac/src" "$1/app/src" "$1/app/tests"
	cat > "$1/Cargo.toml" <<-'EOF'
		[workspace]
		members = ["leaf", "mid", "mac", "app"]
		resolver = "2"
	EOF
	for c in leaf mid mac app; do
		printf '[package]\nname = "%s"\nversion = "0.1.0"\nedition = "2021"\n' $c > "$1/$c/Cargo.toml"
	done
	printf '[dependencies]\nleaf = { path = "../leaf" }\n' >> "$1/mid/Cargo.toml"
	printf '[lib]\nproc-macro = true\n' >> "$1/mac/Cargo.toml"
	printf 'build = "build.rs"\n[dependencies]\nmid = { path = "../mid" }\nmac = { path = "../mac" }\n' >> "$1/app/Cargo.toml"
	make_leaf "$1" 1
	printf 'hello' > "$1/leaf/src/text.txt"
	printf 'mod inner;\npub fn twice() -> u32 { 2 * leaf::number() + inner::extra() }\npub use leaf::text;\n' > "$1/mid/src/lib.rs"
	printf 'pub fn extra() -> u32 { 0 }\n' > "$1/mid/src/inner.rs"
	cat > "$1/mac/src/lib.rs" <<-'EOF'
		use proc_macro::TokenStream;
		#[proc_macro]
		pub fn secret(_: TokenStream) -> TokenStream {
		    let dir = std::env::var("CARGO_MANIFEST_DIR").unwrap();
		    let word = std::fs::read_to_string(format!("{dir}/word.txt")).unwrap_or_default();
		    let var = std::env::var("MACRO_WORD").unwrap_or_default();
		    format!("{:?}", format!("{}{}", word.trim(), var)).parse().unwrap()
		}
	EOF
	printf 'word' > "$1/app/word.txt"
	cat > "$1/app/build.rs" <<-'EOF'
		fn main() {
		    let out = std::env::var("OUT_DIR").unwrap();
		    let n = std::fs::read_to_string("number.txt").unwrap_or("7".into());
		    std::fs::write(format!("{out}/gen.rs"), format!("pub const GEN: u32 = {};", n.trim())).unwrap();
		    println!("cargo:rerun-if-changed=number.txt");
		}
	EOF
	printf '7' > "$1/app/number.txt"
	cat > "$1/app/src/main.rs" <<-'EOF'
		include!(concat!(env!("OUT_DIR"), "/gen.rs"));
		fn main() {
		    println!("{} {} {} {}", mid::twice(), mid::text(), mac::secret!(), GEN);
		}
	EOF
	printf '#[test]\nfn works() { assert!(mid::twice() >= 2); }\n' > "$1/app/tests/t.rs"
}

# kbuild DIR CARGO-ARGS…: cargo through kache in DIR; output in $T/build.log; sets $ev.
kbuild() {
	kb_dir=$1; shift
	(cd "$kb_dir" && RUSTC_WRAPPER=$KACHE cargo "$@") > "$T/build.log" 2>&1
	kb_status=$?
	ev=$(events)
	return $kb_status
}
show_log() { sed 's/^/# /' "$T/build.log" | tail -n 30; printf '%s\n' "$ev" | sed 's/^/# event /'; }
