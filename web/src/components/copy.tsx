import { Check, Copy as CopyIcon } from "lucide-react";
import { useEffect, useState } from "react";
import { Button } from "@/components/ui/button";
import { complain } from "@/components/ui/toast";

/** Puts a text on the clipboard, also where the page is not served by https. */
async function copyText(text: string): Promise<void> {
  if (navigator.clipboard && window.isSecureContext) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const area = document.createElement("textarea");
  area.value = text;
  area.style.position = "fixed";
  area.style.opacity = "0";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("The browser does not let this page copy. Select the text and copy it yourself.");
}

interface CopyButtonProps {
  /** The text, or how to make it where that is much work. */
  text: string | (() => string);
  label: string;
  className?: string;
}

export function CopyButton({ text, label, className }: CopyButtonProps) {
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return;
    const timer = setTimeout(() => setDone(false), 1600);
    return () => clearTimeout(timer);
  }, [done]);
  return (
    <Button
      look="ghost"
      size="icon-sm"
      className={className}
      aria-label={done ? "Copied" : label}
      title={label}
      onClick={() => copyText(typeof text === "string" ? text : text()).then(() => setDone(true), complain)}
    >
      {done ? <Check className="text-good" /> : <CopyIcon />}
    </Button>
  );
}

/** A command or a secret to be copied. */
export function CopyBlock({ text, label }: { text: string; label: string }) {
  return (
    <div className="flex min-w-0 items-start gap-2 rounded-lg border bg-muted/50 py-1.5 pr-1.5 pl-3">
      <pre className="min-w-0 flex-1 whitespace-pre-wrap break-all py-1.5 font-mono text-[13px]">{text}</pre>
      <CopyButton text={text} label={label} />
    </div>
  );
}
