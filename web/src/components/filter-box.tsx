import { Search } from "lucide-react";
import { useRef } from "react";
import { Input } from "@/components/ui/field";
import { Kbd } from "@/components/ui/kbd";
import { cn } from "@/lib/classes";
import { useShortcut } from "@/lib/hooks";

interface FilterBoxProps {
  label: string;
  placeholder: string;
  value: string;
  onChange: (text: string) => void;
  className?: string;
}

/** Narrows a list. `/` goes there, Escape empties it and leaves. */
export function FilterBox({ label, placeholder, value, onChange, className }: FilterBoxProps) {
  const input = useRef<HTMLInputElement>(null);
  useShortcut("/", () => input.current?.focus());
  return (
    <div className={cn("relative min-w-0 sm:max-w-sm", className)}>
      <Search className="pointer-events-none absolute top-2.5 left-3 size-4 text-muted-foreground" aria-hidden />
      <Input
        ref={input}
        type="search"
        aria-label={label}
        aria-keyshortcuts="/"
        placeholder={placeholder}
        value={value}
        onChange={(event) => onChange(event.target.value)}
        onKeyDown={(event) => {
          if (event.key !== "Escape") return;
          onChange("");
          event.currentTarget.blur();
        }}
        className="pr-9 pl-9 [&::-webkit-search-cancel-button]:hidden"
      />
      {value === "" && <Kbd className="absolute top-2 right-2.5">/</Kbd>}
    </div>
  );
}
