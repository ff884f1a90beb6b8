#!/usr/bin/env bash
# The windows, on a virtual display: bash tests/window.sh TINDERBOX [SCREENSHOTS]
# A live run must show green and red frames and curves, and go on to its end when its window is closed.
# Needs Xvfb, ImageMagick (import, convert) and xdotool.
set -euo pipefail
tinderbox="$(realpath "$1")"
shots="${2:-$(mktemp -d)}"
mkdir -p "$shots"; shots="$(realpath "$shots")"
work="$(mktemp -d)"; cd "$work"
Xvfb :97 -screen 0 1200x900x24 >/dev/null 2>&1 & xvfb=$!
trap 'kill $xvfb 2>/dev/null || true; rm -rf "$work"' EXIT
export DISPLAY=:97
for _ in $(seq 300); do xdotool getdisplaygeometry >/dev/null 2>&1 && break; sleep 0.1; done

# Without a window manager the keyboard goes to the window under the pointer.
close() { xdotool mousemove 600 450 keydown Escape; sleep 0.5; xdotool keyup Escape; }

# Colours that only the drawing has: the blue of the first curve, the green and red of right and wrong.
count() { convert "$1" -fill black +opaque "$2" -fill white -opaque "$2" -format '%[fx:round(mean*w*h)]' info:; }

timeout 20 "$tinderbox" samples mnist-sample --seed 4 & program=$!
for _ in $(seq 100); do window="$(xdotool search --name 'mnist-sample samples' 2>/dev/null | head -n 1)" && [ -n "$window" ] && break; sleep 0.1; done
sleep 1; import -window root "$shots/samples.png"
close
[ "$(convert "$shots/samples.png" -colorspace gray -format '%[fx:mean>0.1]' info:)" = 1 ]
wait "$program"

timeout 120 "$tinderbox" train --dataset mnist-sample --device cpu --batch 50 --epochs 60 --window >log 2>&1 & program=$!
for _ in $(seq 300); do [ "$(grep -c '^epoch' log 2>/dev/null || true)" -ge 3 ] && break; sleep 0.1; done
sleep 0.5; import -window root "$shots/live.png"
for colour in '#0072b2' '#008c50'; do
  pixels="$(count "$shots/live.png" "$colour")"
  echo "$colour: $pixels pixels"
  [ "$pixels" -gt 300 ]
done
close
wait "$program" || { cat log; exit 1; }
grep -q 'epoch 60/60' log && grep -q 'finished 60 epochs' log

# The same on a GPU, which draws its own images; the frames are there whoever draws.
if "$tinderbox" devices | grep -q llvmpipe; then
  timeout 300 "$tinderbox" train --dataset mnist-sample --device llvmpipe --name gpu --epochs 20 --window >log 2>&1 & program=$!
  for _ in $(seq 2000); do [ "$(grep -c '^epoch' log 2>/dev/null || true)" -ge 3 ] && break; sleep 0.1; done
  sleep 0.5; import -window root "$shots/live-gpu.png"
  pixels="$(count "$shots/live-gpu.png" '#008c50')"
  echo "drawn on the GPU: $pixels pixels of green frames"
  [ "$pixels" -gt 300 ]
  close
  wait "$program" || { cat log; exit 1; }
  if grep -q 'panicked' log; then cat log; exit 1; fi
fi
echo "3 passed, 0 failed"
