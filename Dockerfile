# syntax=docker/dockerfile:1
FROM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
# What `make image` passes on; without it the program says that it does not know its version.
ARG VERSION=
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags="-s -w -X main.release=$VERSION" -o /brimline ./cmd/brimline
# A volume takes over the owner of the folder that it covers.
RUN install -d -o 65532 -g 65532 /state

FROM scratch
ARG VERSION=
LABEL org.opencontainers.image.title=brimline \
      org.opencontainers.image.licenses=Apache-2.0 \
      org.opencontainers.image.version=$VERSION
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /brimline /brimline
COPY LICENSE /LICENSE
COPY --from=build --chown=65532:65532 /state /var/lib/brimline
USER 65532:65532
# Listening everywhere, `run` wants BRIMLINE_TOKENS_FILE, or BRIMLINE_ALLOW_ANONYMOUS=true where the port is published on
# loopback alone.
ENV BRIMLINE_STATE_DIR=/var/lib/brimline \
    BRIMLINE_LISTEN=0.0.0.0:8480
WORKDIR /var/lib/brimline
EXPOSE 8480
ENTRYPOINT ["/brimline"]
CMD ["run"]
