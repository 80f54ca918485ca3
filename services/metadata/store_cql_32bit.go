//go:build 386 || arm || mips || mipsle

package metadata

import (
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// openCQL refuses: the driver of the database is for machines of 64 bits only.
func openCQL(Config, Deps, func()) (meta.Store, database, error) {
	return nil, nil, errors.E(errors.Invalid, errors.Setting, "metadata.store",
		"cql needs a machine of 64 bits: run the metadata services on others, this one can be chunk-node, gateway and rebalancer")
}
