// Package sigv4 signs requests as AWS Signature Version 4 asks, for the tests and the benchmark.
//
// It is written apart from the gateway's verification on purpose: a mistake made on both sides of a signature would
// cancel out. It is also lean, so that a benchmark measures the server and not the client.
//
// Start reading at [Signer.Sign]; [Signer.Presign] signs in the query; [Signer.SignChunked] frames a body as aws-chunked.
// Rules: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
package sigv4
