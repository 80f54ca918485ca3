// Package s3 holds the suite of S3 behaviour: what each operation answers to good and to bad requests.
//
// It speaks to the service in three voices: aws-sdk-go-v2 and minio-go, as programs do, and requests signed here by hand, for
// what no SDK would send. All tests share one deployment and each takes buckets of its own, so that they run side by side.
//
//	go test ./systemtest/s3 -args -deployment nodes
package s3
