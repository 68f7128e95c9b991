# Stands in for prom/prometheus and prom/alertmanager: the programs of Debian's packages, from this machine.
FROM localhost/vault-etl-debian AS prometheus
RUN cp /mnt/usr/bin/prometheus /mnt/usr/bin/promtool /bin/ && install --directory --owner=65534 /prometheus
USER 65534
VOLUME /prometheus
ENTRYPOINT ["/bin/prometheus"]

FROM localhost/vault-etl-debian AS alertmanager
RUN cp /mnt/usr/bin/prometheus-alertmanager /bin/alertmanager && cp /mnt/usr/bin/amtool /bin/ \
    && cp -r /mnt/usr/share/prometheus /usr/share/
USER 65534
ENTRYPOINT ["/bin/alertmanager"]
