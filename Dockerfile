# The program with a software GPU beside it: docker build -t tinderbox . && docker run --rm -v "$PWD:/work" tinderbox train
# An NVIDIA GPU is seen with --gpus all where NVIDIA's container toolkit is installed.
FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN cargo build --release --locked

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates libvulkan1 mesa-vulkan-drivers \
  && rm -rf /var/lib/apt/lists/*
ENV NVIDIA_DRIVER_CAPABILITIES=all
COPY --from=build /source/target/release/tinderbox /usr/local/bin/
WORKDIR /work
ENTRYPOINT ["tinderbox"]
