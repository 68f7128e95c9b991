# Stands in for localstack/localstack:4.9.2: the same LocalStack, from PyPI.
FROM localhost/vault-etl-python
COPY vault_etl/local/localstack-requirements.txt /tmp/lock.txt
RUN pip install --no-cache-dir --no-compile --require-hashes -r /tmp/lock.txt
ENV GATEWAY_LISTEN=0.0.0.0:4566 LOCALSTACK_VOLUME_DIR=/var/lib/localstack FILESYSTEM_ROOT=/var/lib/localstack/fs \
    STRICT_SERVICE_LOADING=1 SKIP_SSL_CERT_DOWNLOAD=1 DNS_ADDRESS=0
ENTRYPOINT ["python", "-m", "localstack.runtime.main"]
