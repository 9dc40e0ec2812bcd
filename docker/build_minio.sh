#!/bin/sh
# Builds the MinIO server that the S3 tests use, once: upstream ships source only. Needs Go 1.24 or newer.
set -eu

version=v0.0.0-20260212201848-7aac2a2c5b7c
folder="$HOME/.cache/tiervdb/bin"

if [ -x "$folder/minio" ]; then
    echo "$folder/minio is there"
    exit 0
fi
if ! command -v go >/dev/null 2>&1; then
    echo "make minio: Go 1.24 or newer is missing: install it from https://go.dev/dl and run make minio again" >&2
    exit 1
fi
minor=$(go env GOVERSION | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
if [ "${minor:-99}" -lt 24 ]; then
    echo "make minio: $(go env GOVERSION) is too old: install Go 1.24 or newer from https://go.dev/dl" >&2
    exit 1
fi

echo "building MinIO into $folder (once; 4 to 5 minutes on 2 cores)"
mkdir -p "$folder"
staging=$(mktemp -d "$folder/.build.XXXXXX")
trap 'rm -rf "$staging"' EXIT
GOBIN="$staging" CGO_ENABLED=0 go install "github.com/minio/minio@$version"
mv "$staging/minio" "$folder/minio"
echo "built $folder/minio"
