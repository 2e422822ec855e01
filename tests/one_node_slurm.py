"""A Slurm cluster of one node on loopback, in a folder: real daemons of Debian's packages, without systemd or cgroups.

Its GPUs are links to /dev/null, which Slurm hands out as it does real ones. A job that takes more memory than it asked
for is killed, as by cgroups elsewhere.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

COMMANDS = ("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo", "sacct", "sacctmgr", "sshare")
MUNGE = Path("/run/munge/munge.socket.2")  # accounting looks for it nowhere else
MARIADB = Path("/run/mysqld/mysqld.sock")  # so does slurmdbd for its database

CONF = """ClusterName=onenode
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
{auth}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldPort={ctld_port}
SlurmdPort={d_port}
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.pid
StateSaveLocation={folder}/state/ctld
SlurmdSpoolDir={folder}/state/d
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=1,bf_interval=1,defer_batch=no
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
MinJobAge=3600
KillWait=5
InactiveLimit=0
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
{accounting}
GresTypes=gpu
NodeName=DEFAULT Boards=1 SocketsPerBoard=1 ThreadsPerCore=1 State=UNKNOWN
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} CoresPerSocket={cpus} RealMemory={memory_mb} Gres=gpu:fake:{gpus}
PartitionName=cpu Nodes={host} Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes={host} Default=NO MaxTime=INFINITE State=UP
PartitionName=limited Nodes={host} Default=NO MaxTime=12 State=UP
PartitionName=spare Nodes={host} Default=NO MaxTime=INFINITE State=UP PreemptMode=CANCEL
PartitionName=urgent Nodes={host} Default=NO MaxTime=INFINITE State=UP PriorityTier=10
"""

ACCOUNTING = """AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort={port}
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment"""

DBD_CONF = """AuthType=auth/munge
AuthInfo=socket={munge}
DbdHost=localhost
DbdPort={port}
SlurmUser=root
LogFile={folder}/log/slurmdbd.log
PidFile={folder}/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
"""


class Slurm:
    """A running cluster; `stop` ends every process that it started."""

    def __init__(self, folder: Path, cpus: int = 4, gpus: int = 2, memory_mb: int = 16_000, accounting: bool = False):
        self.folder, self.accounting = folder, accounting
        self.conf = folder / "etc" / "slurm.conf"
        self._socket = folder / "sql" / "mysqld.sock"
        self._processes: list[subprocess.Popen] = []
        self._modes: dict[Path, int] = {}  # of folders before they were opened for the database
        for name in ("etc", "log", "run", "dev", "state/ctld", "state/d", "bin"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self._write(cpus, gpus, memory_mb)
        for command in filter(shutil.which, COMMANDS):
            # The job of a job drops SLURM_CONF; what is first on PATH it keeps.
            wrapper = folder / "bin" / command
            wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={self.conf} exec {shutil.which(command)} "$@"\n')
            wrapper.chmod(0o755)

    def _write(self, cpus: int, gpus: int, memory_mb: int) -> None:
        host, devices = socket.gethostname().split(".")[0], self.folder / "dev"
        for i in range(gpus):
            (devices / f"nvidia{i}").symlink_to("/dev/null")
        self.dbd_port = free_port()
        self.conf.write_text(
            CONF.format(
                host=host,
                folder=self.folder,
                auth=f"AuthType=auth/munge\nAuthInfo=socket={MUNGE}\nCredType=cred/munge"
                if self.accounting
                else "AuthType=auth/none\nCredType=cred/none",
                accounting=ACCOUNTING.format(port=self.dbd_port)
                if self.accounting
                else "AccountingStorageType=accounting_storage/none",
                ctld_port=free_port(),
                d_port=free_port(),
                cpus=cpus,
                gpus=gpus,
                memory_mb=memory_mb,
            )
        )
        gres = f"NodeName={host} Name=gpu Type=fake File={devices}/nvidia[0-{gpus - 1}]\n"
        (self.folder / "etc" / "gres.conf").write_text(gres)

    def __enter__(self) -> "Slurm":
        try:
            if self.accounting:
                self._start_accounting()
            self.start_controller()
            self._start("slurmd", "-D", "-f", self.conf)
            self.wait_for("sinfo", "--noheader", "--format=%T", holds=lambda said: "idle" in said)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def start_controller(self) -> None:
        self.controller = self._start("slurmctld", "-D", "-i", "-f", self.conf)

    def kill_controller(self) -> None:
        self.controller.kill()
        self.controller.wait()

    def recover(self) -> None:
        """As it was in the beginning, whatever a test did to it."""
        if self.controller.poll() is not None:
            self.start_controller()
        self.wait_for("sinfo", "--noheader", holds=lambda _: True)
        node = self.said("sinfo", "--noheader", "--format=%n").split()[0]
        if "drain" in self.said("sinfo", "--noheader", "--format=%T"):
            self.said("scontrol", "update", f"NodeName={node}", "State=RESUME")
        self.said("scancel", "--user", "root")

    def _start(self, program: str, *arguments) -> subprocess.Popen:
        log = (self.folder / "log" / f"{program}.out").open("a")
        environment = {**os.environ, "SLURM_CONF": str(self.conf)}
        path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        assert path, f"{program} is not installed: make test-slurm installs it"
        process = subprocess.Popen(
            [path, *map(str, arguments)],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        self._processes.append(process)
        return process

    def stop(self) -> None:
        """End what was started, the last first."""
        if (self.folder / "bin" / "scancel").exists() and self._processes:
            subprocess.run([self.folder / "bin" / "scancel", "--user", "root"], capture_output=True, timeout=30)
            time.sleep(1)
        for process in reversed(self._processes):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self._processes.clear()
        for folder, mode in self._modes.items():
            folder.chmod(mode)
        if MARIADB.is_symlink() and MARIADB.readlink() == self._socket:
            MARIADB.unlink()

    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}

    def said(self, *command) -> str:
        """What a command of this cluster prints."""
        done = subprocess.run(
            list(map(str, command)),
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, **self.environment()},
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def wait_for(self, *command, holds, seconds: float = 60) -> str:
        """What a command prints once it holds."""
        end, said = time.monotonic() + seconds, ""
        while time.monotonic() < end:
            with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
                said = self.said(*command)
                if holds(said):
                    return said
            time.sleep(0.2)
        raise AssertionError(f"{command} said {said!r} for {seconds:g} s; logs are in {self.folder / 'log'}")

    def jobs(self, *states: str) -> list[dict[str, str]]:
        """Jobs that the cluster knows of, finished ones too: what they asked for, and in the comment their rule."""
        names = ("id", "state", "reason", "partition", "gres", "cpus", "memory", "limit", "folder", "comment")
        said = self.said("squeue", "--states=all", "--noheader", "--sort=i", "--format=%i|%T|%r|%P|%b|%C|%m|%l|%Z|%k")
        found = [dict(zip(names, line.split("|"), strict=True)) for line in said.splitlines()]
        return [job for job in found if not states or job["state"] in states]

    def _start_accounting(self) -> None:
        """munge, a database on a socket only, and slurmdbd; they want their sockets where Debian puts them."""
        for taken in (MUNGE, MARIADB):
            assert not answers(taken), f"something listens on {taken} already; end it before this test"
        MUNGE.parent.mkdir(parents=True, exist_ok=True)
        MARIADB.parent.mkdir(parents=True, exist_ok=True)
        key = self.folder / "etc" / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        (self.folder / "state" / "munge").mkdir(mode=0o700)
        munge = (f"--key-file={key}", f"--socket={MUNGE}", f"--pid-file={self.folder}/run/munged.pid")
        munge += (f"--log-file={self.folder}/log/munged.log", f"--seed-file={self.folder}/state/munge/seed")
        self._start("munged", "--foreground", "--force", *munge)
        self._start_database()
        conf = self.folder / "etc" / "slurmdbd.conf"
        conf.write_text(DBD_CONF.format(munge=MUNGE, port=self.dbd_port, folder=self.folder))
        conf.chmod(0o600)
        self._start("slurmdbd", "-D")
        self.wait_for("sacctmgr", "--noheader", "show", "cluster", holds=lambda _: True)
        self.said("sacctmgr", "-i", "add", "cluster", "onenode")
        self.said("sacctmgr", "-i", "add", "account", "lab", "Description=lab", "Organization=lab")
        self.said("sacctmgr", "-i", "add", "user", "root", "account=lab")

    def _start_database(self) -> None:
        data, sock = self.folder / "mysql", self._socket
        for folder in (data, sock.parent):
            folder.mkdir()
            shutil.chown(folder, "mysql", "mysql")
        for parent in (self.folder, *self.folder.parents):
            if not parent.stat().st_mode & 0o001:
                self._modes[parent] = parent.stat().st_mode
                parent.chmod(self._modes[parent] | 0o011)  # mysql has to reach its folder
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", "--user=mysql", f"--datadir={data}"]
            + ["--auth-root-authentication-method=socket", "--skip-test-db"],
            check=True,
            capture_output=True,
        )
        options = (f"--datadir={data}", f"--socket={sock}", f"--pid-file={sock.parent}/mysqld.pid", "--user=mysql")
        small = ("--innodb-buffer-pool-size=128M", "--innodb-log-file-size=32M", "--innodb-lock-wait-timeout=900")
        self._start("mariadbd", "--no-defaults", *options, "--skip-networking", *small)
        sql = "create database slurm_acct_db; create user slurm@localhost identified by 'slurm';"
        sql += " grant all on slurm_acct_db.* to slurm@localhost; flush privileges;"
        self.wait_for("mariadb-admin", "--no-defaults", "-S", sock, "ping", holds=lambda said: "alive" in said)
        self.said("mariadb", "--no-defaults", "-S", sock, "-e", sql)
        MARIADB.unlink(missing_ok=True)
        MARIADB.symlink_to(sock)


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as asking:
        return asking.connect_ex(str(path)) == 0


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]
