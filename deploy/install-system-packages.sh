#!/bin/sh
# Installs the few Debian packages that weft needs beside Python; without root it says what to install.
set -eu

missing=""
need() { # need PROGRAM PACKAGE
	command -v "$1" >/dev/null 2>&1 || PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1 ||
		missing="$missing $2"
}
need fusermount3 fuse3
need mount mount
need pkill procps # the tour in README.md
# A venv needs ensurepip, which Debian packs apart from its python3.
"${PYTHON:-python3}" -c 'import ensurepip, venv' >/dev/null 2>&1 || missing="$missing python3-venv"

[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null 2>&1; then
	echo "weft needs, besides Python 3.11:$missing - install them with this system's package manager" >&2
	exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
	echo "weft needs$missing - run as root: apt-get install$missing" >&2
	exit 1
fi
echo "installing$missing ..."
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # a list of packages, meant to be split
apt-get install -y -qq --no-install-recommends $missing >/dev/null
