#!/bin/sh
# kache config shows, checks and changes settings, and leaves the rest of a file as it is.
. "${srcdir:-.}/tests/lib/lib.sh"

export HOME="$T/home"
unset XDG_CONFIG_HOME XDG_CACHE_HOME KACHE_CACHE_DIR
user=$HOME/.config/kache/config.toml
mkdir -p "$HOME" "$T/p/q"
cd "$T/p/q" || exit 99
config() { "$builddir/kache-cli" config "$@"; }
row() { config list | awk -v key="$1" '$1 == key { $1 = ""; print substr($0, 2) }'; }
file_is() { # file_is FILE NAME, the wanted text on standard input
	cat > "$T/wanted"
	cmp -s "$1" "$T/wanted"
	ok $? "$2"
	cmp -s "$1" "$T/wanted" || sed 's/^/# got /' "$1"
}

# list, get
is "$(row cache.link)" "auto default" "a default is shown as such"
is "$(config | head -n 1)" "$(config list | head -n 1)" "config alone lists"
is "$(KACHE_LINK=copy row cache.link)" "copy environment KACHE_LINK" "a variable is named as the origin"
is "$(row cache.local_store)" "$HOME/.cache/kache default" "the store's default depends on HOME"
is "$(XDG_CACHE_HOME=$T/x config get cache.local_store)" "$T/x/kache" "and on XDG_CACHE_HOME"
is "$(config get KACHE_MAX_SIZE)" 50GB "get takes a variable too"
is "$(config get cache.key_salt)" "" "what is not set is empty"
out=$(config get cache.lnik 2>&1); is $? 2 "an unknown key is a usage error"
is "$out" "kache: unknown key cache.lnik; did you mean cache.link?" "with the nearest one"
out=$(config get 2>&1); is $? 2 "get without a key is a usage error"
out=$(config frob 2>&1); is $? 2 "so is a verb that does not exist"
out=$(HOME= config list 2>&1); is $? 1 "without HOME and XDG_CACHE_HOME nothing can be listed"
is "$out" "kache: no cache directory: none of KACHE_CACHE_DIR, XDG_CACHE_HOME, HOME is set" "and that is said"
is "$(KACHE_BACKEND='s3://me:pw@h/b?region=x&secret-key=y&a=b' config get cache.remote.url)" \
	's3://me:***@h/b?region=x&secret-key=***&a=b' "passwords are not shown"

# set: the user's file
config set cache.link copy; ok $? "set makes the user's file"
file_is "$user" "with table and key" <<'EOF'
[cache]
link = "copy"
EOF
is "$(stat -c %a "$user")" 600 "readable for its owner only"
cat > "$user" <<'EOF'
# my settings
[cache]   # the cache
  link = "copy"   # no links on this disk
# end of the table

[log]
level = "info"
EOF
chmod 640 "$user"
config set cache.link hardlink
config set KACHE_MAX_SIZE 20GiB
config set cache.exclude 'vendor/*' 'a "b"'
config set cache.remote.url file:///mnt
config set cache.remote.endpoint http://host:1
config set cache.cache_executables off
config set cache.compression_level 19
file_is "$user" "comments and other lines stay" <<'EOF'
# my settings
[cache]   # the cache
  link = "hardlink"   # no links on this disk
local_max_size = "20GiB"
exclude = ["vendor/*", "a \"b\""]
cache_executables = false
compression_level = 19
# end of the table

[log]
level = "info"

[cache.remote]
url = "file:///mnt"
endpoint = "http://host:1"
EOF
is "$(stat -c %a "$user")" 640 "and its mode"
is "$(row cache.link)" "hardlink $user:3" "list names file and line"
is "$(config get cache.exclude | tail -n 1)" 'a "b"' "a list is printed by lines"
is "$(config get cache.remote.endpoint)" http://host:1 "options of the backend are settings too"
is "$(row cache.remote.endpoint)" "http://host:1 $user:15" "and are listed"
config set cache.remote.secret-key y; is "$(config get cache.remote.secret-key)" '***' "a secret option is not shown"
config set cache.exclude ""; is "$(config get cache.exclude)" "" "a list is emptied by an empty value"
cp "$user" "$T/before"
is "$(config set cache.link fast 2>&1)" "kache: cache.link is 'fast'; accepted are auto|reflink|hardlink|copy" "a bad value is refused"
is "$(config set cache.compression_level 20 2>&1)" "kache: cache.compression_level is '20'; accepted are whole numbers 1..19" "so is a number out of range"
out=$(config set cache.lnik copy 2>&1); is "$?, $out" \
	"2, kache: unknown key cache.lnik; did you mean cache.link?" "and an unknown key, as a usage error"
out=$(config set --project zzzzzz copy 2>&1); is "$?, $out" \
	"2, kache: unknown key zzzzzz; \`kache config list\` shows all" "also one that is like no other"
is "$(config set KACHE_DISABLED 1 2>&1)" "kache: KACHE_DISABLED is set in the environment only" "and what only a variable sets"
config set cache.link 2> /dev/null; is $? 2 "set without a value is a usage error"
config set cache.link copy copy 2> /dev/null; is $? 2 "so are two values for one"
config set --system cache.link copy 2> /dev/null; is $? 2 "and an option that does not exist"
cmp -s "$user" "$T/before"; ok $? "nothing was written"
is "$(KACHE_LINK=auto config set cache.link copy 2>&1)" "kache: note: here, environment KACHE_LINK overrides it" "what is overridden is said"
config set cache.key_salt "$(printf '\377')" 2> /dev/null; is $? 1 "text that is not UTF-8 is refused"
is "$(config get cache.key_salt)" "" "and not written"
is "$(ls -A "$HOME/.config/kache")" config.toml "no temporary file stays"

# a file that is a link stays one
mv "$user" "$T/real.toml"; ln -s "$T/real.toml" "$user"
config set cache.link auto
test -L "$user" && grep -q 'link = "auto"' "$T/real.toml"; ok $? "a symbolic link is followed"
rm "$user"

# set --project
config set --project paths.remap no; ok $? "set --project makes .kache.toml here"
file_is .kache.toml "with table and key" <<'EOF'
[paths]
remap = false
EOF
mv .kache.toml ..
config set cache.link copy --project
test ! -e .kache.toml && grep -q 'link = "copy"' ../.kache.toml; ok $? "or changes the nearest one upwards"
is "$(row cache.link)" "copy $T/p/.kache.toml:5" "which counts below it"
is "$(cd "$T" && row cache.link)" "auto default" "and not beside it"
out=$(config set --project cache.local_store /x 2>&1); is $? 1 "a project can't choose the store"
is "$out" "kache: a project file may not set cache.local_store; it belongs in the user's file or the environment" "and is told where to"
config set --project cache.remote.endpoint x 2> /dev/null; is $? 1 "nor options of the backend"
is "$(config set --project cache.link hardlink --user 2>&1; cat "$user")" "kache: note: here, $T/p/.kache.toml:5 overrides it
[cache]
link = \"hardlink\"" "of two targets the last one counts"

# check
out=$(config check 2> "$T/err"); is $? 0 "check is content"
is "$(wc -l < "$T/err")" 0 "and silent on standard error"
like "$out" "^user file $user: ok$" "it names the user's file"
like "$out" "^project file $T/p/.kache.toml: ok$" "and the project's"
cat > "$user" <<'EOF'
[cache]
lnik = "copy"
link = "fast"

[log]
level = 3
EOF
echo 'cache.local_store = "/x"' > .kache.toml
out=$(KACHE_LOG=loud config check 2> "$T/err"); is $? 1 "check fails on problems"
file_is "$T/err" "and tells all of them" <<EOF
$user:2: unknown key cache.lnik; did you mean cache.link?
$user:3: cache.link is 'fast'; accepted are auto|reflink|hardlink|copy
$user:6: log.level is of type integer; it wants a string
$T/p/q/.kache.toml:1: a project file may not set cache.local_store; it belongs in the user's file or the environment
KACHE_LOG: log.level is 'loud'; accepted are error|warn|info|debug|trace
EOF
like "$out" "^user file $user: 3 problems$" "and counts them"
out=$(config check "$T/real.toml"); is "$?, $out" "0, file $T/real.toml: ok" "one file is checked alone"
out=$(config check "$T/none.toml" 2>&1); is "$?, $out" "1, kache: $T/none.toml: No such file or directory" "it has to be there"
printf '[cache]\nlink = \n' > "$T/bad.toml"
is "$(config check "$T/bad.toml" 2>&1 > /dev/null)" "$T/bad.toml:2: a value is expected" "broken syntax is told with its line"
is "$(KACHE_CONFIG=$T/bad.toml config list 2>&1)" "kache: $T/bad.toml:2: a value is expected" "by the other verbs too"
out=$(KACHE_CONFIG=$T/bad.toml config set cache.link copy 2>&1); is "$?, $out" \
	"1, kache: $T/bad.toml: line 2: a value is expected; nothing was changed" "set does not touch such a file"
is "$(KACHE_CONFIG=$T/none.toml config list 2>&1)" "kache: KACHE_CONFIG: there is no file $T/none.toml" "a named file has to be there"
rm .kache.toml
sed -i 's/lnik/link/; 3d; s/3$/"info"/' "$user"
is "$(config get log.level)" info "repaired, it is read"

# --json
json=$(KACHE_KEY_ENV=A,B config list --json); ok $? "list --json"
like "$json" '"key":"cache.key_env","variable":"KACHE_KEY_ENV","type":"list","value":\["A","B"\]' "lists are arrays"
like "$json" "\"origin\":\"$user:5\",\"file\":\"$user\",\"line\":5" "origins have file and line"
like "$json" '"value":50000000000' "sizes are bytes"
if command -v python3 > /dev/null; then
	printf '%s' "$json" | python3 -c 'import json,sys; json.load(sys.stdin)'; ok $? "it is JSON"
fi

# remotes
rm "$user"
config set cache.remote.type s3
config set cache.remote.bucket b
config set cache.remote.mode ro
is "$(config list --json | sed -n 's/.*"remotes":\(.*\)}$/\1/p')" \
	'[{"url":"s3:","name":null,"origin":"'"$user:2"'","options":[{"key":"mode","value":"ro","origin":"'"$user:4"'"},{"key":"bucket","value":"b","origin":"'"$user:3"'"}]}]' \
	"a remote by its type"
is "$(config set cache.remote.timeout 1 2>&1)" "kache: cache.remote.timeout is '1'; accepted are times such as 500ms or 3s, in milliseconds 1..3600000" "a time has a unit"
config set cache.remote.timeout 750ms; is "$(row cache.remote.timeout)" "750ms $user:5" "as this"
export KACHE_REDIS=me:pw@host:1
is "$(row KACHE_REDIS)" "me:***@host:1 environment KACHE_REDIS" "a variable selects a remote"
is "$(row cache.remotes.1.url)" "redis://me:***@host:1 environment KACHE_REDIS" "which is listed"
is "$(row cache.remote.type)/$(row cache.remote.bucket)/$(row cache.remote.mode)" "default//rw default" "and those of files count no more"
is "$(row cache.remote.timeout)" "750ms $user:5" "but for what is not one remote's"
is "$(KACHE_BACKEND='redis://a:pw@h  s3://b?secret-key=x' config get KACHE_BACKEND)" 'redis://a:***@h s3://b?secret-key=***' "several URLs are shown without passwords"
unset KACHE_REDIS
cat > "$user" <<'EOF'
[[cache.remotes]]
name = "near"
url = "redis://me:p/w@h"
password = "x"
timeout = "500ms"
[[cache.remotes]]
url = "s3://b"
mode = "ro"
EOF
is "$(config list | grep '^cache.remotes' | tr -s ' ')" "cache.remotes.1.url redis://me:***@h $user:3
cache.remotes.1.name near $user:3
cache.remotes.1.password *** $user:4
cache.remotes.1.timeout 500ms $user:5
cache.remotes.2.url s3://b $user:7
cache.remotes.2.mode ro $user:8" "[[cache.remotes]] are listed by number"
like "$(KACHE_LOCAL_ONLY=1 config list --json)" '"remotes":\[\]' "KACHE_LOCAL_ONLY: none"
printf '[cache.remote]\nurl = "s3://c"\n' >> "$user"
is "$(config list 2>&1)" "kache: $user:10: cache.remote.url beside the [[cache.remotes]] of line 1; a single remote is [cache.remote], several are [[cache.remotes]] alone" \
	"both at once are refused, with both places"
rm "$user"

# what can't be written
if test "$(id -u)" -ne 0; then
	chmod a-w "$HOME/.config/kache"
	out=$(config set cache.link copy 2>&1); is "$?, $out" "1, kache: $user: Permission denied" "a directory that can't be written is named"
	chmod u+w "$HOME/.config/kache"
fi
test -w /dev/full && { config list > /dev/full 2> "$T/err"; is "$?, $(cat "$T/err")" "1, kache: standard output: No space left on device" "a full disk is told"; }
like "$(config --help)" "^usage: kache config" "--help"
finish
