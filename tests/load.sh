#!/usr/bin/env bash
# `tinderbox serve` under load: tests/load.sh PROGRAM [SECONDS]. wrk asks for the page and for names that are not there,
# with wrong methods and huge headers, while slow clients hold connections; memory must stay flat and the server alive.
set -euo pipefail
program="$1" seconds="${2:-60}"
dir="$(mktemp -d)"
"$program" serve --port 0 >"$dir/out" 2>"$dir/err" &
server=$!
trap 'kill $server $(jobs -p) 2>/dev/null || true; rm -rf "$dir"' EXIT
for _ in $(seq 100); do grep -q http "$dir/out" && break; sleep 0.1; done
url="$(grep -o 'http://[^ ]*' "$dir/out")"
address="${url#http://}" && address="${address%/}"
rss() { awk '/^VmRSS/ { print $2 }' "/proc/$server/status"; }

cat >"$dir/hostile.lua" <<'LUA'
local paths = { "/", "/app.js", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/models/..%5c..%5cx", "/nothing", "//", "/pkg/tinderbox_web_bg.wasm" }
local methods = { "GET", "GET", "GET", "HEAD", "POST", "DELETE", "BREW" }
local n = 0
request = function()
  n = n + 1
  local headers = { ["Connection"] = "close" }
  if n % 50 == 0 then headers["X-Huge"] = string.rep("x", 40000) end
  return wrk.format(methods[n % #methods + 1], paths[n % #paths + 1], headers)
end
LUA

curl -fsS "$url" >/dev/null
timeout $((seconds + 30)) wrk -t1 -c8 -d2s -s "$dir/hostile.lua" "$url" >/dev/null 2>&1
before="$(rss)"
for _ in $(seq 20); do # slow clients: a byte a second, and never the end of a request
  (exec 3<>"/dev/tcp/${address%:*}/${address#*:}" && for _ in $(seq "$seconds"); do printf G >&3 || break; sleep 1; done) 2>/dev/null &
done
timeout $((seconds + 30)) wrk -t2 -c32 -d"${seconds}s" -s "$dir/hostile.lua" "$url" >"$dir/wrk" 2>&1
after="$(rss)"
served="$(awk '/requests in/ { print $1, $3, $4 }' "$dir/wrk")"
kill -0 $server
test "$(curl -sS -o /dev/null -w '%{http_code}' --path-as-is "${url}../../etc/passwd")" = 404
curl -fsS "$url" | grep -q '<title>tinderbox</title>'
test ! -s "$dir/err" || { cat "$dir/err"; exit 1; }
echo "$served $(awk '/Requests\/sec/ { print $2 }' "$dir/wrk") requests/s; memory $((before / 1024)) MB before, $((after / 1024)) MB after"
test "$after" -lt $((before + before / 5 + 20000))
