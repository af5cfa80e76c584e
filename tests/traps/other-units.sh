#!/bin/sh
# Traps: a unit that is put back to an earlier state while cargo builds something else. What was made from its other state is not
# looked at then, and only by times does cargo know later that it has to be made again.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cargo.sh"
export KACHE_INCREMENTAL=never CARGO_INCREMENTAL=0

# crate NAME DEPENDENCIES TEXT: a library in $W, where one below registry/src/NAME-HASH counts as published
crate() {
	mkdir -p "$W/$1/src"
	{ printf '[package]\nname = "%s"\nversion = "0.1.0"\nedition = "2021"\n' "$(basename "$1")"
	test "$(basename "$1")" != mac || printf '[lib]\nproc-macro = true\n'
	printf '[dependencies]\n'; for crate_d in $2; do printf '%s = { path = "%s/%s" }\n' "$(basename "$crate_d")" "$W" "$crate_d"; done
	} > "$W/$1/Cargo.toml"
	printf '%s\n' "$3" > "$W/$1/src/lib.rs"
}
# project NAME UNIT TEXT USE: a program on "one" and "two", both of which use a unit
project() {
	W=$T/$1
	mkdir -p "$W/app/src"
	printf '[workspace]\nresolver = "2"\nmembers = ["app", "one", "two"]\nexclude = ["registry"]\n' > "$W/Cargo.toml"
	crate "$2" "" "$3"
	crate one "$2" "pub fn f() -> String { format!(\"{}\", $4) }"
	crate two "$2" "pub fn f() -> String { format!(\"{}\", $4) }"
	printf '[package]\nname = "app"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\none = { path = "../one" }\ntwo = { path = "../two" }\n' \
		> "$W/app/Cargo.toml"
	echo 'fn main() { println!("{} {}", one::f(), two::f()); }' > "$W/app/src/main.rs"
}
build() { kbuild "$W" build "$@"; }
says() { # says NAME WANTED
	build -p app
	test $kb_status = 0 || show_log
	is "$kb_status $("$W/target/debug/app")" "0 $2" "$1"
}
# steps NAME CHANGE: CHANGE 1 and CHANGE 2 set the unit to two states
steps() {
	rm -rf "$W/target"
	$2 1; says "$1: one state" "1 1"
	$2 2; says "$1: another" "2 2"
	$2 1; build -p one
	is "$kb_status $(count '^(miss|uncached)')" "0 0" "$1: the first again, for something else"
	says "$1: and then for all" "1 1"
	build -p app
	is "$ev" "" "$1: after which nothing is to be done"
	# The first build in a directory may leave old files.
	rm -rf "$W/target"
	says "$1: from nothing" "1 1"
	$2 2; build -p one
	says "$1: and on" "2 2"
	$2 1; build -p two
	says "$1: and back" "1 1"
}

project source leaf "" 'leaf::f()'
source_is() { echo "pub fn f() -> u32 { $1 }" > "$W/leaf/src/lib.rs"; }
steps "a library" source_is

# Not published, whatever it is called.
project called registry/src/leaf "" 'leaf::f()'
called_is() { echo "pub fn f() -> u32 { $1 }" > "$W/registry/src/leaf/src/lib.rs"; }
steps "a library below registry/src" called_is

# Two cargos, both started before there is a target directory: what the later one finds is not its own.
project waits leaf "" 'leaf::f()'
cat > "$T/wrapper" <<-'EOF'
	#!/bin/sh
	case " $* " in *" -vV "*) touch "$T/asked"; while ! test -e "$T/go"; do sleep 0.05; done ;; esac
	exec "$KACHE" "$@"
EOF
chmod +x "$T/wrapper"
source_is 1; says "a cargo that waits: one state" "1 1"
rm -rf "$T"/*/target	# a library that is elsewhere, too, would be a copy
(cd "$W" && T=$T KACHE=$KACHE RUSTC_WRAPPER=$T/wrapper cargo build -p one) > "$T/waits.log" 2>&1 &
waiting=$!
until test -e "$T/asked"; do sleep 0.05; done
source_is 2; says "a cargo that waits: another" "2 2"
source_is 1; touch "$T/go"
wait $waiting
ok $? "a cargo that waits: builds a part of it"
like "$(events)" '^hit .*leaf' "a cargo that waits: and has it from the store"
says "a cargo that waits: and then for all" "1 1"

project macro mac "" 'mac::m!()'
macro_is() { printf 'use proc_macro::TokenStream;\n#[proc_macro]\npub fn m(_: TokenStream) -> TokenStream { "%su8".parse().unwrap() }\n' "$1" \
	> "$W/mac/src/lib.rs"; }
steps "a macro" macro_is

project script leaf 'pub fn f() -> &'"'"'static str { env!("ANSWER") }' 'leaf::f()'
sed -i 's/^edition.*/&\nbuild = "build.rs"/' "$W/leaf/Cargo.toml"
script_is() { echo "fn main() { println!(\"cargo:rustc-env=ANSWER=$1\\ncargo:rerun-if-changed=build.rs\"); }" > "$W/leaf/build.rs"; }
steps "a build script" script_is

# Published packages: nothing changes them but a variable or a file that is elsewhere.
project variable registry/src/r-0123456789abcdef/leaf 'pub fn f() -> &'"'"'static str { env!("ANSWER") }' 'leaf::f()'
variable_is() { export ANSWER="$1"; }
steps "a variable" variable_is
unset ANSWER

project file registry/src/r-0123456789abcdef/leaf \
	'pub fn f() -> &'"'"'static str { include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../../answer")).trim() }' 'leaf::f()'
file_is() { echo "$1" > "$W/answer"; }
steps "a file" file_is

project output registry/src/r-0123456789abcdef/leaf 'pub fn f() -> &'"'"'static str { env!("ANSWER") }' 'leaf::f()'
L=$W/registry/src/r-0123456789abcdef/leaf
sed -i 's/^edition.*/&\nbuild = "build.rs"/' "$L/Cargo.toml"
cat > "$L/build.rs" <<-'EOF'
	fn main() {
	    println!("cargo:rerun-if-changed=build.rs\ncargo:rerun-if-env-changed=NUMBER");
	    println!("cargo:rustc-env=ANSWER={}", std::env::var("NUMBER").unwrap());
	}
EOF
touch -d 2006-07-24 "$L/build.rs"	# as cargo unpacks it
output_is() { export NUMBER="$1"; }
steps "what a script says" output_is
is "$(find "$W/target/debug/build" -name output ! -newermt 2008-01-01 | wc -l)" 0 "what a script says: its run is young"
rm -rf "$W/target"
says "what a script says: from nothing once more" "1 1"
is "$(find "$W/target/debug/build" -name output ! -newermt 2008-01-01 | wc -l)" 1 "what a script says: the run is old where all is new"
is "$(find "$W/target/debug/deps" -name 'libleaf-*.rmeta' ! -newermt 2008-01-01 | wc -l)" 1 "what a script says: and the library is"
build -p app
is "$ev" "" "what a script says: and cargo finds all fresh"
# cargo takes no notice of blanks around what it is told.
sed -i 's/cargo:rerun-if-changed=build.rs/  cargo:rerun-if-changed=new \\ncargo::rerun-if-changed=build.rs/' "$L/build.rs"
touch -d 2006-07-24 "$L/build.rs"
echo 1 > "$L/new"
rm -rf "$W/target"
says "what a script says: on something new" "1 1"
is "$(find "$W/target/debug/build" -name output ! -newermt 2008-01-01 | wc -l)" 0 "what a script says: its run is young then"
build -p app
is "$ev" "" "what a script says: and all is fresh"
finish
