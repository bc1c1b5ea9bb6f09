# syntax=docker/dockerfile:1
# The production image: the wheel, its locked dependencies and Python. PostgreSQL and Redis are elsewhere.
ARG PYTHON=3.11

# Third-party files for the browser, pinned by package-lock.json. `-o`: without the virtual environment of a checkout.
FROM node:22 AS browser
WORKDIR /src
COPY Makefile package.json package-lock.json ./
RUN make -o .venv/run.stamp dashboard/static/vendor/.stamp

FROM python:${PYTHON}-slim AS build
WORKDIR /src
RUN pip install --quiet --no-cache-dir --upgrade "pip>=25.3" \
    && python -m venv --without-pip /opt/gamify
COPY requirements.lock requirements-embedded.lock ./
RUN pip --python /opt/gamify/bin/python install --quiet --no-cache-dir --require-hashes --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY platform platform
COPY dashboard dashboard
COPY migrations migrations
COPY --from=browser /src/dashboard/static/vendor dashboard/static/vendor
RUN pip wheel --quiet --no-deps --build-constraint requirements-embedded.lock --wheel-dir /tmp/wheel . \
    && pip --python /opt/gamify/bin/python install --quiet --no-cache-dir --no-deps /tmp/wheel/*.whl

FROM python:${PYTHON}-slim
RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent gamify \
    && install --directory --owner 10001 --mode 0700 /exports
COPY --from=build /opt/gamify /opt/gamify
ENV PATH=/opt/gamify/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GAMIFY_ENV=production
WORKDIR /
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=3)"]
# Migrations run from the same image: gamify db upgrade
CMD ["gamify", "serve", "--host", "0.0.0.0"]
