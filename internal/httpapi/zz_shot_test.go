package httpapi
import ("testing";"os";"context")
func TestZZServe(t *testing.T) {
	if os.Getenv("SHOT") == "" { t.Skip() }
	f := newFakes()
	if os.Getenv("SHOT") == "busy" { f.status.Stages[1].Partitions[2].State=Recovering; a,b:=int64(1200),int64(5000); f.status.Stages[1].Partitions[2].TableOffset=&a; f.status.Stages[1].Partitions[2].TableEnd=&b; f.status.Stages[2].State=Waiting; f.status.Stages[2].Reason="PostgreSQL at 127.0.0.1:5432 does not answer" ; f.status.Stages[3].Here=false; f.status.Stages[0].Lag=-1}
	s, err := Listen("127.0.0.1:8999", nil); if err != nil { t.Fatal(err) }
	s.Serve(context.Background(), New(f.options()))
}
