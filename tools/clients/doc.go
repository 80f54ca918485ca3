// Package clients installs the S3 programs that the tests use, at pinned versions.
//
// From Debian: the AWS CLI 2.9 (as /usr/bin/aws), s3cmd, fuse3 and python3-venv, by apt-get when this runs as root. From PyPI, into
// a virtual environment: the AWS CLI 1.46 and boto3 (python/requirements.txt). From their Go modules: rclone and restic, each built
// by a module of its own (rclone/go.mod, restic/go.mod), whose go.sum pins every dependency. Package install says where they go.
// Start reading at [Install].
package clients
