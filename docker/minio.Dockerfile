# MinIO, compiled from its pinned module: upstream is archived, ships source only, and the last image that it published
# has a known privilege escalation (CVE-2025-62506). The version is that of docker/build_minio.sh.

FROM golang:1.26-alpine AS build
ARG MINIO_VERSION=v0.0.0-20260212201848-7aac2a2c5b7c
RUN CGO_ENABLED=0 go install -trimpath -ldflags="-s -w" "github.com/minio/minio@${MINIO_VERSION}"

FROM alpine:3.22
RUN addgroup -S -g 10002 minio \
    && adduser -S -D -H -u 10002 -G minio minio \
    && install -d -o minio -g minio -m 0750 /data
COPY --from=build /go/bin/minio /usr/local/bin/minio
USER 10002:10002
VOLUME /data
EXPOSE 9000
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s \
    CMD ["wget", "-q", "-O", "/dev/null", "http://127.0.0.1:9000/minio/health/ready"]
ENTRYPOINT ["minio"]
CMD ["server", "--quiet", "--address", ":9000", "--console-address", ":9001", "/data"]
