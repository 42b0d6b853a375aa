# A static program on an image without a shell, as nobody in particular. `docker build .`; the release workflow builds it for two machines.
FROM rust:1.95-alpine AS build
RUN apk add --no-cache clang-dev cmake make musl-dev perl
WORKDIR /moat
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/moat/target \
    cargo build --release --locked -p moat && cp target/release/moat /usr/local/bin/moat

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /usr/local/bin/moat /usr/local/bin/moat
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/moat"]
