#!/bin/sh
# The Debian packages that the tests marked `system` compare us with; run as root.
set -eu
apt-get update --quiet
apt-get install --yes --no-install-recommends \
    apt-utils dpkg-dev faketime gnupg pgbouncer python3-debian xz-utils
