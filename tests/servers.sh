#!/usr/bin/env bash
# Makes sure that the servers which tests start by themselves are installed. Where they are missing and
# this is Debian or a relative of it, with root or password-less sudo, installs them; else says what is
# missing. Never fails: tests that find no server say so and skip.
set -u

installed() {
  command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || compgen -G "/usr/lib/postgresql/*/bin/$1" >/dev/null
}

missing=()
installed initdb || missing+=(postgresql)
installed nginx || missing+=(nginx-light)
installed promtool || missing+=(prometheus)
installed prometheus-alertmanager || installed alertmanager || missing+=(prometheus-alertmanager)
# Ubuntu's package is a snap, which does not run in containers.
if ! installed chromium && grep -q '^ID=debian' /etc/os-release 2>/dev/null; then missing+=(chromium); fi
[ "${#missing[@]}" -eq 0 ] && exit 0

notice() { echo "servers: not installed: ${missing[*]} ($1); the tests that need them will skip" >&2; }

if ! command -v apt-get >/dev/null 2>&1; then
  notice "install them with this system's package manager"
  exit 0
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! sudo -n true 2>/dev/null; then
    notice "run: sudo apt-get install ${missing[*]}"
    exit 0
  fi
  as_root=(sudo -n)
fi
echo "servers: installing ${missing[*]}"
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" >/dev/null; }
apt update
apt install --no-install-recommends "${missing[@]}" || notice "apt-get could not install them"
exit 0
