package telemetry

import (
	"crypto/tls"

	"github.com/prometheus/client_golang/prometheus"
)

// RegisterCertificate publishes when a certificate of the program ends; r may be nil. use is what it is for, as s3.
func RegisterCertificate(r prometheus.Registerer, use string, current func() *tls.Certificate) {
	if r == nil {
		return
	}
	register(r, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: Namespace, Name: "certificate_expiry_timestamp_seconds",
		Help: "When the certificate in use ends, as seconds since 1970.", ConstLabels: prometheus.Labels{"use": use},
	}, func() float64 { return timestamp(current().Leaf.NotAfter) }))
}
