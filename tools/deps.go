//go:build deps

package tools

import (
	_ "github.com/aws/aws-sdk-go-v2/service/s3"
	_ "github.com/aws/aws-sdk-go-v2/config"
	_ "github.com/aws/aws-sdk-go-v2/credentials"
	_ "github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	_ "github.com/minio/minio-go/v7"
	_ "github.com/anishathalye/porcupine"
	_ "github.com/stretchr/testify/require"
	_ "github.com/google/go-cmp/cmp"
	_ "golang.org/x/sync/errgroup"
	_ "golang.org/x/tools/go/analysis"
	_ "pgregory.net/rapid"
	_ "github.com/spf13/pflag"
	_ "google.golang.org/grpc"
)
