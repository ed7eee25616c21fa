/** Tells somebody outside of an event. */
export interface Webhook {
  /** One try. Never rejects. */
  send(notice: { readonly eventId: string; readonly body: string }): Promise<WebhookAnswer>;
  close(): Promise<void>;
}

export type WebhookAnswer =
  | { readonly kind: "delivered" }
  /** Whatever the reason: the receiver may have it or not. */
  | { readonly kind: "failed"; readonly reason: string };
