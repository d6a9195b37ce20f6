package route

import (
	"testing"

	"github.com/brimline/brimline/internal/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }
