# The image of SideLB. Targets: the last one is `sidelb`; `demo` has the demo backend as well.
#
#   docker build -t sidelb .
#   docker build -t sidelb-demo --target demo .
#
# With --build-arg PREBUILT=FOLDER nothing is compiled: FOLDER, in the context, is what
# docker/programs made.

FROM debian:bookworm-slim AS build
ARG PREBUILT=
WORKDIR /src
# Apart from the sources, so that a change of those does not install the packages again.
COPY scripts/install-deps scripts/
RUN if [ -z "$PREBUILT" ]; then scripts/install-deps; fi
COPY . .
RUN if [ -z "$PREBUILT" ]; then docker/programs /out; else cp -a "$PREBUILT" /out; fi
# What each target takes, by itself.
RUN mkdir /demo && mv /out/bin/sidelb-demo-backend /demo/

FROM debian:bookworm-slim AS runtime
# A user by number, as `runAsNonRoot` of orchestrators wants it. /run/sidelb.sock is where the
# original told its status.
RUN groupadd --gid 10001 sidelb \
  && useradd --uid 10001 --gid sidelb --no-create-home --home-dir / --shell /usr/sbin/nologin sidelb \
  && install -d -o sidelb -g sidelb /run/sidelb /var/lib/sidelb \
  && ln -s sidelb/status.sock /run/sidelb.sock \
  && rm -f /var/log/lastlog /var/log/faillog /etc/*-
COPY --from=build /out/ /usr/local/
COPY docker/entrypoint /usr/local/bin/docker-entrypoint
RUN ldconfig && sidelb --version && sidelb-cli version
USER 10001:10001
# `docker stop` kills after 10 s.
ENV SIDELB_DRAIN_TIMEOUT=8s
ENTRYPOINT ["docker-entrypoint"]

FROM runtime AS demo
COPY --from=build /demo/ /usr/local/bin/

FROM runtime AS sidelb
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
  CMD ["sidelb", "--health-check-uds"]
CMD ["sidelb-daemon"]
