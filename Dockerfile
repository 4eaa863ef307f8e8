# syntax=docker/dockerfile:1.7
# The worker for RunPod Serverless, or for any machine with an NVIDIA driver and container runtime.
#
#   docker build --platform linux/amd64 -t YOU/fooocus-worker:0.1.0 .
#   docker build --platform linux/amd64 -t YOU/fooocus-worker:0.1.0-speed --build-arg MODELS=speed \
#     --secret id=hf_token,env=HF_TOKEN --secret id=civitai_token,env=CIVITAI_TOKEN .
#
# MODELS bakes model files in: none (the built-in demo model, or models on a volume), default, speed or full.
# docs/models.md lists them with sizes and licences; the build log shows each licence before its download.
ARG MODELS=none

FROM python:3.11.14-slim-bookworm AS base
ENV PATH=/opt/venv/bin:$PATH \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1

FROM base AS dependencies
WORKDIR /build
# PyPI's torch carries its own CUDA libraries, so nothing here needs a CUDA base image. They are those of CUDA 13
# and need a driver of 580 or newer; for older hosts: --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128
ARG TORCH_INDEX=
COPY pyproject.toml ./
RUN python -m venv /opt/venv \
 && python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > requirements.txt \
 && grep '^torch==' requirements.txt > torch.txt \
 && pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} -r torch.txt \
 && pip install --no-cache-dir -r requirements.txt

FROM dependencies AS models
ARG MODELS
WORKDIR /build
COPY schemas/__init__.py schemas/catalogue.py schemas/catalogue.json schemas/
COPY builder/*.py builder/
# Tokens are mounted for this one step and reach no layer, no ENV and no log.
RUN --mount=type=secret,id=hf_token --mount=type=secret,id=civitai_token \
    HF_TOKEN="$(cat /run/secrets/hf_token 2>/dev/null || true)" \
    CIVITAI_TOKEN="$(cat /run/secrets/civitai_token 2>/dev/null || true)" \
    python -m builder fetch --set "$MODELS" --models-dir /models

FROM base AS worker-none
RUN useradd --create-home --uid 1000 worker \
 && install --directory --owner worker --group worker /app /app/outputs
WORKDIR /app
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=models --chown=worker:worker /models models
COPY LICENSE pyproject.toml test_input.json ./
COPY schemas schemas
COPY builder builder
COPY handler handler
RUN python -m compileall -q schemas builder handler
# The worker itself never downloads from Hugging Face. WARN, not WARNING, would be the next RunPod log level.
ENV FOOOCUS_MODELS_DIR=/app/models \
    HF_HUB_OFFLINE=1 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    NVIDIA_VISIBLE_DEVICES=all \
    RUNPOD_LOG_LEVEL=INFO \
    TRANSFORMERS_OFFLINE=1

# One stage for each model set; the last FROM picks one by name.
FROM worker-none AS worker-default
ENV FOOOCUS_CHECKPOINT=juggernautXL_v8Rundiffusion.safetensors
FROM worker-default AS worker-speed
FROM worker-default AS worker-full

# hadolint ignore=DL3006
FROM worker-${MODELS} AS worker
# root by default: RunPod mounts its network volume root-owned at /runpod-volume, and its Hub tests install packages
# inside the container. Anywhere else build with --build-arg RUN_AS=worker, an ordinary user that owns /app/models
# and /app/outputs.
ARG RUN_AS=root
USER ${RUN_AS}
# Exec form: python is PID 1, so the container ends when the worker does and its heartbeat cannot outlive it.
CMD ["python", "-u", "-m", "handler"]
