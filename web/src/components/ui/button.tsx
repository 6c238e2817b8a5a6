import { cva, type VariantProps } from "class-variance-authority";
import { LoaderCircle } from "lucide-react";
import type { ComponentProps } from "react";
import { cn } from "@/lib/classes";

export const buttonStyle = cva(
  "inline-flex shrink-0 select-none items-center justify-center gap-2 whitespace-nowrap rounded-lg font-medium transition-[color,background-color,border-color,box-shadow] disabled:pointer-events-none disabled:opacity-50 aria-disabled:pointer-events-none aria-disabled:opacity-50 [&_svg]:pointer-events-none [&_svg]:size-4 [&_svg]:shrink-0",
  {
    variants: {
      look: {
        primary:
          "bg-primary text-primary-foreground shadow-xs hover:bg-primary-strong inset-shadow-[0_1px_0_rgb(255_255_255/0.14)]",
        plain: "border border-input bg-card shadow-xs hover:bg-accent",
        ghost: "text-muted-foreground hover:bg-accent hover:text-foreground data-[popup-open]:bg-accent",
        danger: "bg-bad text-white shadow-xs hover:brightness-110 dark:text-background",
        link: "h-auto px-0! text-primary underline-offset-4 hover:underline",
      },
      size: {
        md: "h-9 px-3.5 text-sm",
        sm: "h-8 px-2.5 text-[13px]",
        icon: "size-9",
        "icon-sm": "size-8",
      },
    },
    defaultVariants: { look: "plain", size: "md" },
  },
);

export type ButtonProps = ComponentProps<"button"> & VariantProps<typeof buttonStyle> & { busy?: boolean };

/** A button; `busy` shows that its work is under way and takes no second press. */
export function Button({
  className,
  look,
  size,
  busy = false,
  disabled,
  children,
  type = "button",
  ...rest
}: ButtonProps) {
  return (
    <button
      type={type}
      className={cn(buttonStyle({ look, size }), className)}
      disabled={disabled || busy}
      aria-busy={busy || undefined}
      {...rest}
    >
      {busy && <LoaderCircle className="animate-spin" aria-hidden />}
      {children}
    </button>
  );
}
