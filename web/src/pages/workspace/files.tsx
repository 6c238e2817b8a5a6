import { useMutation, useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import {
  ArrowUp,
  Download,
  Ellipsis,
  File,
  FileSymlink,
  Folder,
  FolderPlus,
  FolderTree,
  Trash2,
  Upload,
} from "lucide-react";
import { type FormEvent, Fragment, type ReactNode, useId, useRef, useState } from "react";
import type { FileStat, Workspace } from "@/api/types";
import { CopyButton } from "@/components/copy";
import { Empty } from "@/components/empty";
import { Problem } from "@/components/problem";
import { Ago } from "@/components/time";
import { Button, buttonStyle } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { Confirm, Dialog, DialogBody, DialogFooter } from "@/components/ui/dialog";
import { Field, Input } from "@/components/ui/field";
import { Menu, MenuItem, MenuSeparator } from "@/components/ui/menu";
import { SkeletonRows } from "@/components/ui/skeleton";
import { complain, say } from "@/components/ui/toast";
import * as api from "@/data/api";
import { client, files as filesQuery } from "@/data/queries";
import { bytes, mode } from "@/lib/format";
import { baseName, joinPath, parentPath, pathParts, readable } from "@/lib/paths";
import { can } from "@/lib/states";

/** The files of a workspace: look, read, fetch, put, remove. */
export function FilesTab({ workspace }: { workspace: Workspace }) {
  const usable = can(workspace).use;
  const { path = "." } = useSearch({ from: "/app/workspaces/$id" });
  const navigate = useNavigate();
  const [viewing, setViewing] = useState<FileStat | null>(null);
  const list = useQuery(filesQuery(workspace.id, path, usable));
  const open = (next: string) =>
    navigate({
      to: "/workspaces/$id",
      params: { id: workspace.id },
      search: { tab: "files", ...(next === "." ? {} : { path: next }) },
    });
  if (!usable) {
    return (
      <Card>
        <Empty icon={FolderTree} title="Files are there once it runs">
          Start the workspace to see them.
        </Empty>
      </Card>
    );
  }
  const entries = sorted(list.data?.entries ?? []);
  return (
    <DropPlace workspaceId={workspace.id} path={path}>
      <Bar workspaceId={workspace.id} path={path} onOpen={open} />
      {list.isError && !list.data ? (
        <Problem error={list.error} className="m-4" />
      ) : list.isPending ? (
        <SkeletonRows />
      ) : (
        <>
          {path !== "." && (
            <button
              type="button"
              onClick={() => open(parentPath(path))}
              className="flex w-full items-center gap-3 border-b px-4 py-2.5 text-left text-muted-foreground text-sm hover:bg-accent/60 focus-visible:-outline-offset-2"
            >
              <ArrowUp className="size-4" aria-hidden /> Up
            </button>
          )}
          {entries.length === 0 ? (
            <Empty icon={Folder} title="This directory is empty">
              Drop files here, upload them, or let a command make some.
            </Empty>
          ) : (
            <ul className="divide-y" aria-label="Files">
              {entries.map((entry) => (
                <Entry
                  key={entry.path}
                  workspaceId={workspace.id}
                  entry={entry}
                  onOpen={() => (entry.kind === "directory" ? open(entry.path) : setViewing(entry))}
                />
              ))}
            </ul>
          )}
          {list.data.truncated && (
            <p className="border-t px-4 py-2.5 text-muted-foreground text-sm">There are more entries than are shown.</p>
          )}
        </>
      )}
      <Viewer workspaceId={workspace.id} file={viewing} onClose={() => setViewing(null)} />
    </DropPlace>
  );
}

function sorted(entries: FileStat[]): FileStat[] {
  return [...entries].sort(
    (one, two) =>
      Number(two.kind === "directory") - Number(one.kind === "directory") || one.path.localeCompare(two.path),
  );
}

const again = (workspaceId: string) => client.invalidateQueries({ queryKey: ["files", workspaceId] });

/** Puts files into a directory of the workspace, one after the other. */
function useUpload(workspaceId: string, path: string) {
  return useMutation({
    mutationFn: async (chosen: globalThis.File[]) => {
      for (const file of chosen) await api.writeFile(workspaceId, joinPath(path, file.name), file);
      return chosen.length;
    },
    onSuccess: (count) => say(count === 1 ? "Uploaded the file" : `Uploaded ${count} files`),
    onError: complain,
    onSettled: () => again(workspaceId),
  });
}

/** Takes files that are dropped on it. */
function DropPlace({ workspaceId, path, children }: { workspaceId: string; path: string; children: ReactNode }) {
  const upload = useUpload(workspaceId, path);
  const [over, setOver] = useState(false);
  return (
    <Card
      className={over ? "outline-2 outline-ring" : undefined}
      onDragOver={(event) => {
        if (!event.dataTransfer.types.includes("Files")) return;
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        const dropped = [...event.dataTransfer.files];
        if (dropped.length > 0) upload.mutate(dropped);
      }}
    >
      {children}
    </Card>
  );
}

function Bar({ workspaceId, path, onOpen }: { workspaceId: string; path: string; onOpen: (path: string) => void }) {
  const input = useRef<HTMLInputElement>(null);
  const [making, setMaking] = useState(false);
  const upload = useUpload(workspaceId, path);
  return (
    <div className="flex flex-wrap items-center gap-2 border-b px-4 py-2.5">
      <nav aria-label="Path" className="flex min-w-0 flex-1 flex-wrap items-center gap-0.5 text-sm">
        <button type="button" onClick={() => onOpen(".")} className="rounded px-1 py-0.5 font-medium hover:bg-accent">
          files
        </button>
        {pathParts(path).map((part) => (
          <Fragment key={part.path}>
            <span className="text-muted-foreground">/</span>
            <button
              type="button"
              onClick={() => onOpen(part.path)}
              className="max-w-48 truncate rounded px-1 py-0.5 hover:bg-accent"
            >
              {part.name}
            </button>
          </Fragment>
        ))}
      </nav>
      <Button size="sm" onClick={() => setMaking(true)}>
        <FolderPlus aria-hidden />
        New directory
      </Button>
      <Button size="sm" busy={upload.isPending} onClick={() => input.current?.click()}>
        <Upload aria-hidden />
        Upload
      </Button>
      <input
        ref={input}
        type="file"
        multiple
        hidden
        aria-label="Files to upload"
        onChange={(event) => {
          const chosen = [...(event.target.files ?? [])];
          event.target.value = "";
          if (chosen.length > 0) upload.mutate(chosen);
        }}
      />
      <NewFolder workspaceId={workspaceId} path={path} open={making} onOpenChange={setMaking} />
    </div>
  );
}

interface NewFolderProps {
  workspaceId: string;
  path: string;
  open: boolean;
  onOpenChange: (open: boolean) => void;
}

function NewFolder({ workspaceId, path, open, onOpenChange }: NewFolderProps) {
  const form = useId();
  const [name, setName] = useState("");
  const make = useMutation({
    mutationFn: () => api.makeFolder(workspaceId, joinPath(path, name.trim())),
    onSuccess: () => {
      setName("");
      onOpenChange(false);
      void again(workspaceId);
    },
  });
  function submit(event: FormEvent) {
    event.preventDefault();
    if (name.trim() !== "") make.mutate();
  }
  return (
    <Dialog open={open} onOpenChange={onOpenChange} title="New directory" className="sm:max-w-sm">
      <DialogBody>
        <form id={form} onSubmit={submit} className="grid gap-3">
          <Field label="Name">
            {(control) => (
              <Input {...control} value={name} onChange={(event) => setName(event.target.value)} autoFocus />
            )}
          </Field>
          {make.isError && <Problem error={make.error} />}
        </form>
      </DialogBody>
      <DialogFooter>
        <Button onClick={() => onOpenChange(false)}>Cancel</Button>
        <Button type="submit" form={form} look="primary" busy={make.isPending} disabled={name.trim() === ""}>
          Make directory
        </Button>
      </DialogFooter>
    </Dialog>
  );
}

function Entry({ workspaceId, entry, onOpen }: { workspaceId: string; entry: FileStat; onOpen: () => void }) {
  const [deleting, setDeleting] = useState(false);
  const Icon = entry.kind === "directory" ? Folder : entry.kind === "link" ? FileSymlink : File;
  const name = baseName(entry.path);
  return (
    <li className="relative grid grid-cols-[minmax(0,1fr)_auto_auto] items-center gap-x-4 px-4 py-1.5 transition-colors hover:bg-accent/50 sm:grid-cols-[minmax(0,1fr)_6rem_6rem_6rem_auto]">
      <button
        type="button"
        onClick={onOpen}
        disabled={entry.kind === "other"}
        className="flex min-w-0 items-center gap-3 rounded py-1 text-left text-sm after:absolute after:inset-0"
      >
        <Icon
          className={`size-4 shrink-0 ${entry.kind === "directory" ? "text-primary" : "text-muted-foreground"}`}
          aria-hidden
        />
        <span className="truncate">{name}</span>
        {entry.target && <span className="truncate text-muted-foreground text-xs">→ {entry.target}</span>}
      </button>
      <span className="text-right text-muted-foreground text-xs tabular-nums">
        {entry.kind === "file" ? bytes(entry.size) : ""}
      </span>
      <code className="hidden font-mono text-muted-foreground text-xs sm:block">{mode(entry.mode)}</code>
      <span className="hidden text-muted-foreground text-xs sm:block">
        <Ago at={entry.modified} />
      </span>
      <div className="z-10">
        <Menu
          trigger={
            <Button look="ghost" size="icon-sm" aria-label={`Actions for ${name}`}>
              <Ellipsis />
            </Button>
          }
        >
          {entry.kind === "file" && (
            <MenuItem icon={<Download />} onSelect={() => download(workspaceId, entry.path)}>
              Download
            </MenuItem>
          )}
          <MenuSeparator />
          <MenuItem icon={<Trash2 />} danger onSelect={() => setDeleting(true)}>
            Delete…
          </MenuItem>
        </Menu>
      </div>
      <Confirm
        open={deleting}
        onOpenChange={setDeleting}
        title={`Delete ${name}?`}
        action="Delete"
        onConfirm={async () => {
          await api.deleteFile(workspaceId, entry.path, entry.kind === "directory");
          void again(workspaceId);
        }}
      >
        {entry.kind === "directory" ? "The directory and all that is in it are removed." : "The file is removed."} This
        cannot be undone.
      </Confirm>
    </li>
  );
}

function download(workspaceId: string, path: string): void {
  const link = document.createElement("a");
  link.href = api.fileUrl(workspaceId, path);
  link.download = baseName(path);
  link.click();
}

const VIEWED = 1 << 20;

function Viewer({ workspaceId, file, onClose }: { workspaceId: string; file: FileStat | null; onClose: () => void }) {
  const small = file !== null && file.size <= VIEWED;
  const content = useQuery({
    queryKey: ["files", workspaceId, file?.path, "content"],
    queryFn: ({ signal }) => api.readFile(workspaceId, file?.path ?? "", signal).then(readable),
    enabled: small,
    staleTime: 0,
    gcTime: 0,
  });
  return (
    <Dialog
      open={file !== null}
      onOpenChange={(open) => {
        if (!open) onClose();
      }}
      title={file ? baseName(file.path) : ""}
      description={file ? `${bytes(file.size)} · ${mode(file.mode)}` : undefined}
      className="sm:max-w-4xl"
    >
      <DialogBody className="pb-4">
        {!small ? (
          <p className="py-8 text-center text-muted-foreground text-sm">
            It is too large to be shown here. Download it.
          </p>
        ) : content.isError ? (
          <Problem error={content.error} />
        ) : content.isPending ? (
          <SkeletonRows />
        ) : content.data === null ? (
          <p className="py-8 text-center text-muted-foreground text-sm">It is not text. Download it.</p>
        ) : (
          <pre className="min-h-24 overflow-auto rounded-lg border bg-muted/40 p-3.5 font-mono text-[13px] leading-[1.55]">
            {content.data === "" ? <span className="text-muted-foreground">It is empty.</span> : content.data}
          </pre>
        )}
      </DialogBody>
      {file && (
        <DialogFooter>
          {typeof content.data === "string" && <CopyButton text={content.data} label="Copy the text" />}
          <a className={buttonStyle()} href={api.fileUrl(workspaceId, file.path)} download={baseName(file.path)}>
            <Download aria-hidden />
            Download
          </a>
        </DialogFooter>
      )}
    </Dialog>
  );
}
