package embedded

import "os/exec"

// dieWithParent ends the server in good order when this process is killed, so
// that a killed test or demo leaves none behind. Only Linux has this; elsewhere
// the next start finds the server and stops it. The kernel watches the thread
// that started the child, which is why launch holds on to that thread.
func dieWithParent(cmd *exec.Cmd) { cmd.SysProcAttr.Pdeathsig = signalFast }
