#!/bin/sh
# Traps: check, build, test, doc, clippy and release never serve each other wrongly; several packages of one name.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cargo.sh"
. "$srcdir/tests/lib/traps.sh"

trap_begin kinds
trap_dependency dep 'pub fn v() -> u32 { 1 } #[cfg(test)] compile_error!("a dependency is no test");'
printf 'pub fn v() -> bool { cfg!(test) }\n#[test] fn t() { assert!(v()); assert_eq!(dep::v(), 1); }\n' > "$W/src/lib.rs"
printf 'fn main() { println!("{} {}", kinds::v(), dep::v()); }\n#[test] fn m() { assert!(cfg!(test)); }\n' > "$W/src/main.rs"
trap_run=true
trap_cargo=check; trap_is miss kinds "check"
trap_cargo=build; trap_is miss kinds "build after check"
trap_cargo=test; trap_is miss kinds "test after build"
trap_cargo=check; trap_is hit kinds "check again"
trap_cargo="check --tests"; trap_is miss kinds "check of tests"
trap_cargo="build --release"; trap_is miss kinds "release"
trap_cargo=doc; trap_is any dep "doc"
sed -i 's/{ 1 }/{ 2 }/' "$W/dep/src/lib.rs"
trap_cargo=test; trap_is any dep "a test that fails now"
trap_cargo=check; trap_is miss dep "and check after that"
sed -i 's/{ 2 }/{ 1 }/' "$W/dep/src/lib.rs"
trap_cargo=test; trap_is hit dep "and back"
if cargo clippy --version > "$T/clippy" 2>&1; then
	echo 'pub fn w() -> u32 { return 1; }' >> "$W/src/lib.rs"
	trap_cargo=clippy; trap_is any kinds "clippy, with its warning"
	trap_is any kinds "which is said again"
	trap_cargo=check; trap_is any kinds "check after clippy has none"
	trap_cargo="clippy -- -A clippy::needless_return"; trap_is any kinds "clippy's own arguments"
	echo 'cognitive-complexity-threshold = 1' > "$W/clippy.toml"
	trap_cargo="clippy -- -W clippy::cognitive_complexity"; trap_is any kinds "a clippy.toml that is new"
fi

# Which lints there are goes by what cargo says of the package, which need not be the one whose Cargo.toml clippy reads.
trap_begin clippy
if cargo clippy --version > "$T/clippy" 2>&1; then
	trap_dependency dep 'pub fn v(o: Option<u32>) -> bool { o.map_or(false, |n| n > 3) }' 'rust-version = "1.56"'
	printf '[workspace]\nmembers = ["dep"]\n' >> "$W/Cargo.toml"
	echo 'fn main() { println!("{}", dep::v(None)); }' > "$W/src/main.rs"
	trap_cargo="clippy --workspace"; trap_run=true; trap_is any dep "clippy for an old compiler"
	cp "$T/said.plain.clean" "$T/said.old"
	sed -i 's/1\.56/1.80/' "$W/dep/Cargo.toml"
	trap_is any dep "and for a newer one"
	! cmp -s "$T/said.plain.clean" "$T/said.old"; ok $? "clippy: it says something else"
	trap_env="CLIPPY_DISABLE_DOCS_LINKS=1"; unseen
	trap_is any dep "and without links"
	! grep -q 'rust-clippy' "$T/said.kache.clean"; ok $? "clippy: there are none"
fi

trap_begin two_versions
for v in 1 2; do
	mkdir -p "$W/v$v/src"
	printf '[package]\nname = "dep"\nversion = "%s.0.0"\nedition = "2021"\n' $v > "$W/v$v/Cargo.toml"
	echo "pub fn v() -> u32 { $v }" > "$W/v$v/src/lib.rs"
done
printf '[dependencies]\none = { package = "dep", path = "v1" }\ntwo = { package = "dep", path = "v2" }\n' >> "$W/Cargo.toml"
echo 'fn main() { println!("{} {}", one::v(), two::v()); }' > "$W/src/main.rs"
trap_is miss two_versions "first"
trap_is hit two_versions "two versions of a package"
sed -i 's/path = "v1" }/path = "v2" }/; s/^two.*/two = { package = "dep", path = "v1" }/' "$W/Cargo.toml"
trap_is miss two_versions "the other way round"

trap_begin renamed
trap_dependency dep 'pub fn v() -> u32 { 1 }'
echo 'fn main() { println!("{}", dep::v()); }' > "$W/src/main.rs"
trap_is miss renamed "first"
sed -i 's,^dep = .*,other = { package = "dep"\, path = "dep" },' "$W/Cargo.toml"
trap_is miss renamed "a dependency under another name is an error"
sed -i 's/dep::/other::/' "$W/src/main.rs"
trap_is miss renamed "until the source follows"

trap_begin replaced
trap_dependency dep 'pub fn v() -> u32 { 1 }'
echo 'fn main() { println!("{}", dep::v()); }' > "$W/src/main.rs"
trap_is miss replaced "first"
mkdir -p "$W/fork/src"; cp "$W/dep/Cargo.toml" "$W/fork/"; echo 'pub fn v() -> u32 { 2 }' > "$W/fork/src/lib.rs"
sed -i 's,path = "dep",path = "fork",' "$W/Cargo.toml"
trap_is miss replaced "another package of the same name and version"
sed -i 's,path = "fork",path = "dep",' "$W/Cargo.toml"
trap_is hit replaced "and back"

trap_begin from_git
if command -v git > /dev/null; then
	trap_git_dependency dep 'pub fn v() -> u32 { 1 }'
	echo 'fn main() { println!("{}", dep::v()); }' > "$W/src/main.rs"
	trap_env="CARGO_NET_OFFLINE=false CARGO_HOME=$T/home"
	(cd "$W" && env $trap_env cargo generate-lockfile) > "$T/lock" 2>&1
	trap_is miss from_git "first"
	echo 'pub fn v() -> u32 { 2 }' > "$W.git/src/lib.rs"
	(cd "$W.git" && git commit -qam 2) > "$T/git" 2>&1
	(cd "$W" && env $trap_env cargo update) > "$T/lock" 2>&1
	trap_is miss dep "another commit of a git dependency"
	mkdir -p "$W/mine/src"; cp "$W.git/Cargo.toml" "$W/mine/"; echo 'pub fn v() -> u32 { 3 }' > "$W/mine/src/lib.rs"
	printf '[patch."file://%s"]\ndep = { path = "mine" }\n' "$W.git" >> "$W/Cargo.toml"
	trap_is miss dep "a patch in its place"
fi

trap_begin targets
mkdir "$W/examples" "$W/tests" "$W/benches"
echo 'pub fn v() -> u32 { 1 }' > "$W/src/lib.rs"
echo 'fn main() { println!("{}", targets::v()); }' | tee "$W/examples/e.rs" > "$W/src/main.rs"
echo '#[test] fn t() { assert_eq!(targets::v(), 1); }' > "$W/tests/t.rs"
echo 'fn main() {}' > "$W/benches/b.rs"
trap_cargo="build --all-targets"; trap_is miss targets "all targets"
trap_is hit targets "again"
sed -i 's/{ 1 }/{ 2 }/' "$W/src/lib.rs"
trap_is miss t "a library below a test"
trap_is hit e "again"

trap_begin errors
echo 'fn main() { let x: u32 = "no"; }' > "$W/src/main.rs"
trap_is miss errors "an error"
trap_is miss errors "is no hit the next time either"
echo 'fn main() { println!("mended"); }' > "$W/src/main.rs"
trap_is miss errors "mended"
finish
