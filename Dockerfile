# The bot: `web`, `worker` or `socket`, by the argument. Built from the root of the checkout:
#   docker build -t groundcrew-bot .
#   docker run --env-file … groundcrew-bot worker      (ACCESS_FILE names a file that is mounted)
# Nothing of machine learning is in it; the image of the pipeline's steps is pipeline/serving/Dockerfile.
FROM python:3.11-slim

WORKDIR /opt/groundcrew
COPY requirements.txt ./
RUN pip install --no-cache-dir -r requirements.txt
COPY alerts alerts
COPY bot bot
COPY commands commands
COPY config config
COPY iam iam
COPY pipeline pipeline
COPY state state

# `web` listens on loopback where nobody says; here its platform must reach it.
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOST=0.0.0.0
USER nobody
# SIGTERM must reach Python, hence the exec form.
ENTRYPOINT ["python3", "-m", "bot"]
CMD ["web"]
