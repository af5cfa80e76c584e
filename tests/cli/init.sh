#!/bin/sh
# kache init: what it writes into cargo's file, that it leaves the rest alone, and that a build goes by it.
. "$(dirname "$0")/../lib/lib.sh"

mkdir -p "$T/bin" "$T/home" "$T/cargo-home" "$T/quiet"
ln -s "$KACHE" "$T/bin/kache"
printf '#!/bin/sh\nexit 1\n' > "$T/quiet/systemctl"
chmod +x "$T/quiet/systemctl"
unset RUSTC_WRAPPER CARGO_BUILD_RUSTC_WRAPPER CMAKE_C_COMPILER_LAUNCHER CMAKE_CXX_COMPILER_LAUNCHER XDG_CONFIG_HOME
rustup_home=${RUSTUP_HOME:-$HOME/.rustup}
export PATH="$T/bin:$T/quiet:$PATH"
F=$T/cargo-home/config.toml
unit=$T/home/.config/systemd/user/kache-daemon.service
init() { HOME=$T/home CARGO_HOME=$T/cargo-home "$builddir/kache-cli" init "$@" 2>&1 < /dev/null; }

out=$(init --check); is $? 1 "something to do"
like "$out" "^  build.rustc-wrapper +would be \"$T/bin/kache\"$" "is told"
like "$out" "^the daemon's service would be set up$" "and the service"
test ! -e "$F" && test ! -e "$unit"; ok $? "and not done"
out=$(init); is $? 1 "nobody to ask"
like "$out" "nobody here to ask; kache init -y" "is told"
test ! -e "$F"; ok $? "and nothing done"
out=$(init -y --no-service); is $? 0 "without asking"
like "$(cat "$F")" "^rustc-wrapper = \"$T/bin/kache\"$" "the wrapper"
like "$(cat "$F")" "^CMAKE_CXX_COMPILER_LAUNCHER = \"$T/bin/kache\"$" "the launcher"
test ! -e "$unit"; ok $? "no service"
cp "$F" "$T/before"
out=$(init -y); is $? 0 "again, with the service"
cmp -s "$F" "$T/before"; ok $? "the file is as it was"
like "$(cat "$unit")" 'ExecStart=".*kache" daemon run' "the service is there"
out=$(init --check); is $? 0 "nothing to do"
like "$out" "^the daemon's service is set up$" "as it says"

cat > "$F" <<'EOF'
# mine
[build]
jobs = 2	# few
rustc-wrapper = "sccache"

[env]
CMAKE_C_COMPILER_LAUNCHER = { value = "ccache", force = true }
OTHER = "x"
EOF
chmod 600 "$F"
out=$(init --check --no-service); is $? 1 "another cache"
like "$out" "^  build.rustc-wrapper +\"sccache\" would become \"$T/bin/kache\"$" "is named"
like "$out" '^  env.CMAKE_C_COMPILER_LAUNCHER +"ccache" would become ' "and its launcher"
out=$(init -y --no-service); is $? 0 "makes way"
is "$(cat "$F")" "# mine
[build]
jobs = 2	# few
rustc-wrapper = \"$T/bin/kache\"

[env]
CMAKE_C_COMPILER_LAUNCHER = { value = \"$T/bin/kache\", force = true }
OTHER = \"x\"
CMAKE_CXX_COMPILER_LAUNCHER = \"$T/bin/kache\"" "and the rest is as it was"
is "$(stat -c %a "$F")" 600 "with its mode"
mv "$F" "$T/cargo-home/config"
out=$(init --check --no-service); is $? 0 "cargo reads config where there is one"
mv "$T/cargo-home/config" "$F"
echo 'build = [' > "$F"
out=$(init -y); is $? 1 "a file that does not parse"
like "$out" "$F: line 2" "is named, with the line"
is "$(cat "$F")" 'build = [' "and left alone"
echo 'build = 1' > "$F"
out=$(init -y); is $? 1 "a build that is no table"
is "$(cat "$F")" 'build = 1' "is left alone"
head -c 1100000 /dev/zero | tr '\0' '#' > "$F"
out=$(init -y); is $? 1 "a file larger than 1 MiB"
like "$out" "$F: larger than 1024 KiB" "is named"
is "$(stat -c %s "$F")" 1100000 "and left alone"
out=$(HOME=$T/home CARGO_HOME=$T/cargo-home PATH=/usr/bin:/bin "$builddir/kache-cli" init -y 2>&1); is $? 1 "not in PATH"
like "$out" "kache is not in PATH" "is told"
out=$(init --frob); is $? 2 "an option that is none"

# Cargo goes by it.
rm "$F"
init -y --no-service > /dev/null
mkdir -p "$T/w/src"
printf '[package]\nname = "w"\nversion = "0.1.0"\n' > "$T/w/Cargo.toml"
echo 'fn main() {}' > "$T/w/src/main.rs"
(cd "$T/w" && CARGO_HOME=$T/cargo-home RUSTUP_HOME=$rustup_home KACHE_DAEMON=off cargo build -q --offline) > "$T/log" 2>&1 || cat "$T/log"
is "$(events | grep -c 'miss bin w')" 1 "and a build goes through the cache"
finish
