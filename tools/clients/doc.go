// Package clients installs the S3 programs that the tests use, at pinned versions, into a cache outside the repository.
//
// From Debian: the AWS CLI 2.9 (as /usr/bin/aws), s3cmd, fuse3 and python3-venv, by apt-get when this runs as root. From PyPI, into
// a virtual environment: the AWS CLI 1.46 and boto3 (python/requirements.txt). From their Go modules: rclone and restic, each built
// by a module of its own (rclone/go.mod, restic/go.mod), whose go.sum pins every dependency.
//
// The cache is $XDG_CACHE_HOME/garage, or ~/.cache/garage. Everything in it carries a hash of what it was made from, is made under a
// lock and put in place complete: running twice, or twice at once, installs once. Start reading at [Install].
package clients
