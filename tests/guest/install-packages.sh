#!/bin/sh
# Installs the Debian packages that boot guests; without root it says what to install.
set -eu

missing=""
need() { # need PROGRAM PACKAGE
	command -v "$1" >/dev/null 2>&1 || PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1 ||
		missing="$missing $2"
}
need systemd-nspawn systemd-container
need mmdebstrap mmdebstrap
need ip iproute2
need unshare util-linux

[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ]; then
	echo "booting guests needs$missing - run as root: apt-get install$missing" >&2
	exit 1
fi
echo "installing$missing ..."
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # a list of packages, meant to be split
apt-get install -y -qq --no-install-recommends $missing >/dev/null
