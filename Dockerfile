# syntax=docker/dockerfile:1
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags='-s -w' -o /brimline ./cmd/brimline

FROM debian:bookworm-slim
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /brimline /brimline
# A named volume takes over the owner of the folder that it covers.
RUN install -d -o 65532 -g 65532 /var/lib/brimline
USER 65532:65532
ENV BRIMLINE_STATE_DIR=/var/lib/brimline
WORKDIR /var/lib/brimline
EXPOSE 8480
ENTRYPOINT ["/brimline"]
CMD ["run"]
