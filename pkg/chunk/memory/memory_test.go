package memory_test

import (
	"testing"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/chunktest"
	"deuxfleurs.fr/garage/pkg/chunk/memory"
)

func TestConformance(t *testing.T) {
	chunktest.Run(t, func(*testing.T) chunk.Store { return memory.New(uuid.New()) })
}
