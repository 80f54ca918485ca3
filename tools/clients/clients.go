package clients

import (
	"context"
	"io"
	"os/exec"
	"path/filepath"

	"deuxfleurs.fr/garage/tools/install"
	"deuxfleurs.fr/garage/tools/repo"
)

// Tools are the paths of the installed programs.
type Tools struct {
	// AWS1 is version 1 of the AWS CLI, from PyPI; AWS2 is version 2, from Debian.
	AWS1, AWS2 string
	S3cmd      string
	// Python has boto3.
	Python         string
	Rclone, Restic string
}

// Install installs what is missing and returns where everything is. It says on progress what it does and how long it takes.
func Install(ctx context.Context, progress io.Writer) (Tools, error) {
	root, err := repo.Root()
	if err != nil {
		return Tools{}, err
	}
	source := filepath.Join(root, "tools", "clients")
	i := install.Installer{Progress: progress}
	err = i.Debian(ctx, install.Package{Name: "awscli", File: "/usr/bin/aws"}, install.Package{Name: "s3cmd", File: "/usr/bin/s3cmd"},
		install.Package{Name: "fuse3", File: "/usr/bin/fusermount3"}, install.Package{Name: "python3-venv", Present: hasVenv})
	if err != nil {
		return Tools{}, err
	}
	tools := Tools{AWS2: "/usr/bin/aws", S3cmd: "/usr/bin/s3cmd"}
	venv, err := i.Python(ctx, "the AWS CLI 1 and boto3", filepath.Join(source, "python", "requirements.txt"))
	if err != nil {
		return Tools{}, err
	}
	tools.Python, tools.AWS1 = filepath.Join(venv, "bin", "python"), filepath.Join(venv, "bin", "aws")
	if tools.Restic, err = i.Go(ctx, filepath.Join(source, "restic"), "restic", "github.com/restic/restic/cmd/restic", ""); err != nil {
		return Tools{}, err
	}
	if tools.Rclone, err = i.Go(ctx, filepath.Join(source, "rclone"), "rclone", "github.com/rclone/rclone", ""); err != nil {
		return Tools{}, err
	}
	return tools, nil
}

func hasVenv(ctx context.Context) bool {
	return exec.CommandContext(ctx, "/usr/bin/python3", "-c", "import ensurepip, venv").Run() == nil
}

// Compiler installs a C compiler, which the race detector needs.
func Compiler(ctx context.Context, progress io.Writer) error {
	return install.Installer{Progress: progress}.Debian(ctx, install.Package{Name: "gcc", File: "/usr/bin/gcc"},
		install.Package{Name: "libc6-dev", File: "/usr/include/stdlib.h"})
}
