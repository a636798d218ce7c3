#!/bin/sh
# A stand-in for Python with its package client. A test calls it by a link; beside the link lie the file
# `mode`, which says how to behave, and the file `wheel`, which is the package. Downloads are noted in `calls`.
here=$(dirname "$0")
mode=$(cat "$here/mode")

if [ "$*" = "-m pip --version" ]; then
    [ "$mode" != no-client ]
    exit
fi

echo "$*" >> "$here/calls"
while [ $# -gt 1 ]; do
    [ "$1" = --dest ] && dest=$2
    shift
done

case $mode in
works) cp "$here/wheel" "$dest/tiny_model-1.0-py3-none-any.whl" ;;
slow)
    touch "$here/started"
    sleep 2
    cp "$here/wheel" "$dest/tiny_model-1.0-py3-none-any.whl"
    ;;
nothing) ;;
full)
    echo "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device" >&2
    exit 1
    ;;
*)
    echo "Looking in indexes: nowhere"
    printf 'ERROR: No matching distribution\033[2J found for %s\n' "$1" >&2
    exit 1
    ;;
esac
